/*
 * Makes fresh Kerberos AP-REQ tokens inside SPNEGO, in advance, so that a bench never measures the
 * client that makes them.
 *
 *     tokens SERVICE COUNT FILE
 *
 * SERVICE is a host-based name such as HTTP@localhost; the ticket-granting ticket is taken from the
 * credential cache that KRB5CCNAME names. FILE gets one token a line in base64. Every token asks
 * for mutual authentication. Nothing is ever made twice: each call draws a new authenticator.
 */
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MEMORY_CACHE[] = "MEMORY:bench";
static gss_OID_desc SPNEGO = {6, "\x2b\x06\x01\x05\x05\x02"};

static void fail(const char *step, OM_uint32 major, OM_uint32 minor)
{
    fprintf(stderr, "tokens: %s failed, major 0x%08x, minor 0x%08x\n", step, major, minor);
    exit(1);
}

/* Writes `length` bytes as one line of base64. */
static void write_line(FILE *out, const unsigned char *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char quad[4];
    for (size_t at = 0; at < length; at += 3) {
        size_t rest = length - at;
        unsigned group = (unsigned)bytes[at] << 16;
        group |= rest > 1 ? (unsigned)bytes[at + 1] << 8 : 0;
        group |= rest > 2 ? (unsigned)bytes[at + 2] : 0;
        quad[0] = digits[group >> 18 & 63];
        quad[1] = digits[group >> 12 & 63];
        quad[2] = rest > 1 ? digits[group >> 6 & 63] : '=';
        quad[3] = rest > 2 ? digits[group & 63] : '=';
        fwrite(quad, 1, 4, out);
    }
    fputc('\n', out);
}

static gss_name_t import_service(char *service)
{
    OM_uint32 major, minor;
    gss_name_t name;
    gss_buffer_desc text = {strlen(service), service};
    major = gss_import_name(&minor, &text, GSS_C_NT_HOSTBASED_SERVICE, &name);
    if (GSS_ERROR(major))
        fail("gss_import_name", major, minor);
    return name;
}

static void make_token(gss_name_t service, gss_cred_id_t cred, FILE *out)
{
    OM_uint32 major, minor;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
    major = gss_init_sec_context(&minor, cred, &context, service, &SPNEGO, GSS_C_MUTUAL_FLAG, 0,
                                 GSS_C_NO_CHANNEL_BINDINGS, GSS_C_NO_BUFFER, NULL, &token, NULL,
                                 NULL);
    if (GSS_ERROR(major))
        fail("gss_init_sec_context", major, minor);
    if (out != NULL)
        write_line(out, token.value, token.length);
    gss_release_buffer(&minor, &token);
    gss_delete_sec_context(&minor, &context, GSS_C_NO_BUFFER);
}

/* Copies the default cache into memory: reading a file for each token would triple the time. */
static void copy_cache(void)
{
    krb5_context context;
    krb5_ccache file, memory;
    krb5_principal principal;
    krb5_error_code code = krb5_init_context(&context);
    if (code == 0)
        code = krb5_cc_default(context, &file);
    if (code == 0)
        code = krb5_cc_get_principal(context, file, &principal);
    if (code == 0)
        code = krb5_cc_resolve(context, MEMORY_CACHE, &memory);
    if (code == 0)
        code = krb5_cc_initialize(context, memory, principal);
    if (code == 0)
        code = krb5_cc_copy_creds(context, file, memory);
    if (code != 0)
        fail("copying the credential cache", 0, (OM_uint32)code);
}

static gss_cred_id_t memory_credential(void)
{
    OM_uint32 major, minor;
    gss_cred_id_t cred;
    gss_key_value_element_desc element = {"ccache", MEMORY_CACHE};
    gss_key_value_set_desc store = {1, &element};
    major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
                                  GSS_C_INITIATE, &store, &cred, NULL, NULL);
    if (GSS_ERROR(major))
        fail("gss_acquire_cred_from", major, minor);
    return cred;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: tokens SERVICE COUNT FILE\n");
        return 2;
    }
    gss_name_t service = import_service(argv[1]);
    FILE *out = fopen(argv[3], "w");
    if (out == NULL) {
        perror(argv[3]);
        return 1;
    }
    make_token(service, GSS_C_NO_CREDENTIAL, NULL); /* brings the service ticket into the cache */
    copy_cache();
    gss_cred_id_t cred = memory_credential();
    for (long left = atol(argv[2]); left > 0; left--)
        make_token(service, cred, out);
    return fclose(out) == 0 ? 0 : 1;
}
