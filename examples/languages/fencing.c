#include <consul_lock.h>
#include <stdio.h>
#include <stdlib.h>

/* Stands for UPDATE account SET balance = ?, token = ? WHERE id = 7 AND token <= ? */
static struct {
    int balance;
    uint64_t token;
} account;

static void write_balance(int balance, uint64_t token)
{
    if (token >= account.token) {
        account.balance = balance;
        account.token = token;
        printf("written: %d\n", balance);
    } else {
        puts("refused: a later holder has written");
    }
}

/* Takes the lock once, and returns the token. */
static uint64_t turn(void)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new("account/7", NULL, &error);
    if (lock == NULL || consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        exit(1);
    }
    uint64_t token = consul_lock_fencing_token(lock);
    consul_lock_free(lock); /* releases it */
    return token;
}

int main(void)
{
    uint64_t earlier = turn(), later = turn();
    write_balance(200, later);
    write_balance(100, earlier); /* by a holder that was paused for too long */
    return 0;
}
