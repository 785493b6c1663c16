require "consul_lock"

# Stands for UPDATE account SET balance = ?, token = ? WHERE id = 7 AND token <= ?
Account = Struct.new(:balance, :token) do
  def write(balance, token)
    return puts("refused: a later holder has written") if token < self.token

    self.balance = balance
    self.token = token
    puts "written: #{balance}"
  end
end

# Takes the lock once, and returns the token.
def turn
  ConsulLock.hold("account/7", &:fencing_token)
end

account = Account.new(0, 0)
earlier = turn
later = turn
account.write(200, later)
account.write(100, earlier) # by a holder that was paused for too long
