require "consul_lock"

begin
  ConsulLock.hold("long-work", auto_renew: true) do |lock|
    (1..100).each do |step|
      break unless lock.held?

      puts "step #{step}"
      sleep 0.1
    end
  end
rescue ConsulLock::LostError
  puts "lost: stopped"
end
