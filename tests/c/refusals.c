/* Refused arguments, and the words of the refusals. Needs no Consul. */
#include "check.h"

/* The key must be refused with a reason. */
static void refused_key(const char *key, const char *reason)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new(key, NULL, &error);
    CHECK(lock == NULL && consul_lock_error_code(error) == CONSUL_LOCK_INVALID_ARGUMENT);
    if (strstr(consul_lock_error_message(error), reason) == NULL) {
        fprintf(stderr, "\"%s\" lacks \"%s\"\n", consul_lock_error_message(error), reason);
        exit(1);
    }
    CHECK(strchr(consul_lock_error_message(error), '\n') == NULL);
    consul_lock_error_free(error);
}

static void keys(void)
{
    refused_key(NULL, "key is NULL");
    refused_key("", "empty");
    refused_key("a\xff", "UTF-8");
    refused_key("a//b", "a//b");
    refused_key("a/../b", "..");
    refused_key("a/./b", ".");
    refused_key("a\nb", "control");
    refused_key("a\x7f", "control");
    refused_key("a ", "space");
    refused_key("a/.fifo/b", ".fifo");
    refused_key("a/.share/b", ".share");

    char *long_key = malloc(70001);
    CHECK(long_key != NULL);
    memset(long_key, 'k', 70000);
    long_key[70000] = '\0';
    refused_key(long_key, "65536");
    free(long_key);
}

/* The option must be refused, with a word in the message, by the setter and by the maker. */
static void refused_option(const char *name, const char *value, consul_lock_status status,
                           const char *word)
{
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_error *error = NULL;
    CHECK(consul_lock_options_set(options, name, value, &error) == status);
    CHECK(consul_lock_error_code(error) == status);
    if (strstr(consul_lock_error_message(error), word) == NULL) {
        fprintf(stderr, "\"%s\" lacks \"%s\"\n", consul_lock_error_message(error), word);
        exit(1);
    }
    consul_lock_error_free(error);

    CHECK(consul_lock_options_set(options, "acquire_timeout_ms", "5", NULL) == CONSUL_LOCK_OK);
    CHECK(consul_lock_new("key", options, &error) == NULL);
    CHECK(consul_lock_error_code(error) == status);
    CHECK(strstr(consul_lock_error_message(error), word) != NULL);
    consul_lock_error_free(error);
    consul_lock_options_free(options);
}

static void options(void)
{
    const consul_lock_status wrong = CONSUL_LOCK_INVALID_OPTION;
    refused_option("acquire_timeout_ms", "soon", wrong, "\"soon\"");
    refused_option("acquire_timeout_ms", "-2", wrong, "-1 to 86400000");
    refused_option("acquire_timeout_ms", "99999999999999999999", wrong, "86400000");
    refused_option("lock_timeout_seconds", "9", wrong, "10 to 86400");
    refused_option("lock_timeout_second", "10", wrong, "lock_timeout_seconds");
    refused_option("lock_key_pattern", "a/%s", wrong, "consul_lock_defaults_set");
    refused_option("", "1", wrong, "there is no option");
    refused_option("acquire_timeout_ms", "\xff", CONSUL_LOCK_INVALID_ARGUMENT, "UTF-8");
    refused_option(NULL, "1", CONSUL_LOCK_INVALID_ARGUMENT, "name is NULL");
    refused_option("acquire_timeout_ms", NULL, CONSUL_LOCK_INVALID_ARGUMENT, "value is NULL");
}

static void options_in_the_wrong_place(void)
{
    consul_lock_error *error = NULL;
    consul_lock_options *of_client = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set(of_client, "address", "127.0.0.1:1", &error));
    CHECK(consul_lock_new("key", of_client, &error) == NULL);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_INVALID_OPTION);
    CHECK(strstr(consul_lock_error_message(error), "address") != NULL);
    consul_lock_error_free(error);
    consul_lock_options_free(of_client);

    consul_lock_options *of_lock = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set_int(of_lock, "acquire_timeout_ms", 1, &error));
    CHECK(consul_lock_client_new(of_lock, &error) == NULL);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_INVALID_OPTION);
    consul_lock_error_free(error);
    consul_lock_options_free(of_lock);
}

static void a_token_is_never_told(void)
{
    consul_lock_error *error = NULL;
    consul_lock_options *options = consul_lock_options_new();
    CHECK(consul_lock_options_set(options, "token", "hush\nhush", &error) ==
          CONSUL_LOCK_INVALID_OPTION);
    CHECK(strstr(consul_lock_error_message(error), "hush") == NULL);
    consul_lock_error_free(error);
    consul_lock_options_free(options);
}

static void defaults(void)
{
    EXPECT(CONSUL_LOCK_INVALID_OPTION, consul_lock_defaults_set("value", "x", &error));
    EXPECT(CONSUL_LOCK_INVALID_OPTION, consul_lock_defaults_set("lock_key_pattern", "a", &error));
    EXPECT(CONSUL_LOCK_INVALID_OPTION,
           consul_lock_defaults_set("lock_key_pattern", "%s/%s", &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_defaults_set("lock_key_pattern", "100%/%s/x", &error));
    consul_lock *lock = consul_lock_new("key", NULL, NULL);
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_defaults_set("lock_key_pattern", "locks/ephemeral/%s", &error));
    char key[64];
    CHECK(consul_lock_key(lock, key, sizeof key) == 10 && strcmp(key, "100%/key/x") == 0);
    CHECK(consul_lock_key(lock, key, 5) == 10 && strcmp(key, "100%") == 0);
    consul_lock_free(lock);
}

static void the_library(void)
{
    CHECK(strcmp(consul_lock_version(), CONSUL_LOCK_VERSION) == 0);
    CHECK(consul_lock_abi_version() == CONSUL_LOCK_ABI_VERSION);
    CHECK(strcmp(consul_lock_status_name(CONSUL_LOCK_NOT_ACQUIRED), "NOT_ACQUIRED") == 0);
    CHECK(strcmp(consul_lock_status_name(-1), "UNKNOWN") == 0);
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_shutdown(-1, &error));
}

int main(void)
{
    keys();
    options();
    options_in_the_wrong_place();
    a_token_is_never_told();
    defaults();
    the_library();
    return 0;
}
