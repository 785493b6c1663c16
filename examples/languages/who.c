#include <consul_lock.h>
#include <stdio.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock_holder_info *holder = NULL;
    if (consul_lock_holder(NULL, "nightly-report", &holder, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        consul_lock_error_free(error);
        return 1;
    }
    if (holder == NULL) {
        puts("free");
    } else {
        char name[256], node[256];
        consul_lock_holder_name(holder, name, sizeof name);
        consul_lock_holder_node(holder, node, sizeof node);
        printf("%s on %s\n", name, node);
    }
    consul_lock_holder_free(holder);
    return 0;
}
