/* Makes a lock, which asks no Consul, and gives it back. */
#include <consul_lock.h>
#include <stdio.h>

int main(void)
{
    consul_lock *lock = consul_lock_new("test_package", NULL, NULL);
    printf("libconsul_lock %s\n", consul_lock_version());
    consul_lock_free(lock);
    return lock != NULL && consul_lock_abi_version() == CONSUL_LOCK_ABI_VERSION ? 0 : 1;
}
