from dataclasses import dataclass

import consul_lock


@dataclass
class Account:
    """Stands for UPDATE account SET balance = ?, token = ? WHERE id = 7 AND token <= ?"""

    balance: int = 0
    token: int = 0

    def write(self, balance: int, token: int) -> None:
        if token < self.token:
            print("refused: a later holder has written")
            return
        self.balance, self.token = balance, token
        print("written:", balance)


def turn() -> int:
    """Takes the lock once, and returns the token."""
    with consul_lock.hold("account/7") as lock:
        return lock.fencing_token


account = Account()
earlier, later = turn(), turn()
account.write(200, later)
account.write(100, earlier)  # by a holder that was paused for too long
