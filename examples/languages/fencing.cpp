#include <consul_lock.hpp>

#include <iostream>

// Stands for UPDATE account SET balance = ?, token = ? WHERE id = 7 AND token <= ?
struct account {
    int balance = 0;
    std::uint64_t token = 0;

    void write(int new_balance, std::uint64_t new_token)
    {
        if (new_token >= token) {
            balance = new_balance;
            token = new_token;
            std::cout << "written: " << balance << '\n';
        } else {
            std::cout << "refused: a later holder has written\n";
        }
    }
};

// Takes the lock once, and returns the token.
std::uint64_t turn()
{
    return consul_locks::hold("account/7", [](auto &lock) { return lock.fencing_token(); });
}

int main()
{
    try {
        account account;
        const std::uint64_t earlier = turn(), later = turn();
        account.write(200, later);
        account.write(100, earlier); // by a holder that was paused for too long
    } catch (const consul_locks::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
