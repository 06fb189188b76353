/*
 * The physical limit: a loop around gss_accept_sec_context with one shared credential and the
 * default replay cache, nothing else.
 *
 *     accept_loop KEYTAB TOKENS
 *
 * TOKENS has one base64 token a line (see tokens.c). All are decoded before the clock starts. At
 * the end the first token is given once more. One JSON object goes to standard output: accepts,
 * cpu_us (user and system time of the process), wall_us, and replay_refused (true if the repeated
 * token was refused as a replay).
 */
#define _GNU_SOURCE /* memmem */
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_LINE = 128 * 1024 };

static void fail(const char *step, OM_uint32 major, OM_uint32 minor)
{
    fprintf(stderr, "accept_loop: %s failed, major 0x%08x, minor 0x%08x\n", step, major, minor);
    exit(1);
}

static int sextet(int letter)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = letter ? strchr(digits, letter) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes a line of base64 up to its padding or end into a fresh buffer. */
static gss_buffer_desc decode(const char *line)
{
    gss_buffer_desc token = {0, malloc(strlen(line) + 3)};
    unsigned char *out = token.value;
    unsigned group = 0;
    int bits = 0;
    for (int digit; (digit = sextet(*line)) >= 0; line++) {
        group = group << 6 | (unsigned)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[token.length++] = (unsigned char)(group >> bits);
        }
    }
    return token;
}

static gss_buffer_desc *read_tokens(const char *path, size_t *count)
{
    static char line[MAX_LINE];
    size_t room = 1024;
    gss_buffer_desc *tokens = malloc(room * sizeof *tokens);
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        perror(path);
        exit(1);
    }
    for (*count = 0; fgets(line, sizeof line, in) != NULL; ++*count) {
        if (*count == room)
            tokens = realloc(tokens, (room *= 2) * sizeof *tokens);
        tokens[*count] = decode(line);
    }
    fclose(in);
    return tokens;
}

static gss_cred_id_t shared_credential(const char *keytab)
{
    OM_uint32 major, minor;
    gss_cred_id_t cred;
    gss_key_value_element_desc element = {"keytab", keytab};
    gss_key_value_set_desc store = {1, &element};
    major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
                                  GSS_C_ACCEPT, &store, &cred, NULL, NULL);
    if (GSS_ERROR(major))
        fail("gss_acquire_cred_from", major, minor);
    return cred;
}

/* Answers 0 when the token was accepted and a reply for the client was made, else the minor code. */
static OM_uint32 accept_token(gss_cred_id_t cred, gss_buffer_desc *token, OM_uint32 *major)
{
    OM_uint32 minor, ignored;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_name_t client = GSS_C_NO_NAME;
    gss_buffer_desc reply = GSS_C_EMPTY_BUFFER;
    *major = gss_accept_sec_context(&minor, &context, cred, token, GSS_C_NO_CHANNEL_BINDINGS,
                                    &client, NULL, &reply, NULL, NULL, NULL);
    if (*major == GSS_S_COMPLETE)
        minor = reply.length > 0 && client != GSS_C_NO_NAME ? 0 : 1;
    gss_release_buffer(&ignored, &reply);
    gss_release_name(&ignored, &client);
    gss_delete_sec_context(&ignored, &context, GSS_C_NO_BUFFER);
    return minor;
}

/* The mechanism glue renumbers minor codes, so only the text tells which one it was. */
static bool says_replay(OM_uint32 minor)
{
    OM_uint32 ignored, more = 0;
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    gss_display_status(&ignored, minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &more, &text);
    bool found = text.length > 0 && memmem(text.value, text.length, "replay", 6) != NULL;
    gss_release_buffer(&ignored, &text);
    return found;
}

static double cpu_us(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 + use.ru_utime.tv_usec
           + use.ru_stime.tv_usec;
}

static double wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
    size_t count;
    OM_uint32 major, minor;
    if (argc != 3) {
        fprintf(stderr, "usage: accept_loop KEYTAB TOKENS\n");
        return 2;
    }
    gss_buffer_desc *tokens = read_tokens(argv[2], &count);
    gss_cred_id_t cred = shared_credential(argv[1]);
    double cpu = cpu_us(), wall = wall_us();
    for (size_t i = 0; i < count; i++) {
        minor = accept_token(cred, &tokens[i], &major);
        if (major != GSS_S_COMPLETE || minor != 0)
            fail("gss_accept_sec_context", major, minor);
    }
    cpu = cpu_us() - cpu;
    wall = wall_us() - wall;
    minor = count > 0 ? accept_token(cred, &tokens[0], &major) : 0;
    bool refused = count > 0 && GSS_ERROR(major) && says_replay(minor);
    printf("{\"accepts\": %zu, \"cpu_us\": %.0f, \"wall_us\": %.0f, \"replay_refused\": %s}\n", count,
           cpu, wall, refused ? "true" : "false");
    return 0;
}
