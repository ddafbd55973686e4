#include "proto/handshake.h"

#include <string.h>

#include <sodium.h>

#define MESSAGE_FIRST  96
#define MESSAGE_SECOND 48
#define MAC            16
#define MAC_AT         (2 + MESSAGE_FIRST)

static void make_prologue(enum pm_role role, uint8_t out[5])
{
	memcpy(out, "pmd", 3);
	out[3] = PM_HANDSHAKE_VERSION;
	out[4] = (uint8_t)role;
}

static void make_mac(const uint8_t *listener, const uint8_t *frame, uint8_t out[MAC])
{
	static const uint8_t label[] = "pmd handshake mac1";
	uint8_t key[32];

	(void)crypto_generichash(key, sizeof(key), listener, PM_KEY_BYTES, label,
	                         sizeof(label) - 1); /* cannot fail with these lengths */
	(void)crypto_generichash(out, MAC, frame, MAC_AT, key, sizeof(key));
}

static int begin(bool dialling, const struct pm_key *own, const uint8_t *listener,
                 enum pm_role role, pm_noise_key_fn *check, void *arg, struct pm_noise **out,
                 struct pm_error *err)
{
	uint8_t prologue[5];
	struct pm_noise_config c = {
		.pattern = PM_NOISE_IK,
		.hash = PM_NOISE_BLAKE2B,
		.initiator = dialling,
		.prologue = prologue,
		.prologue_len = sizeof(prologue),
		.static_secret = pm_key_secret(own),
		.remote_static = listener,
		.check = check,
		.check_arg = arg,
	};

	make_prologue(role, prologue);
	return pm_noise_create(&c, out, err);
}

int pm_handshake_first(const struct pm_key *own, const uint8_t *listener, enum pm_role role,
                       uint8_t out[PM_FRAME_FIRST], struct pm_noise **noise, struct pm_error *err)
{
	struct pm_noise *n;
	size_t len;

	if (begin(true, own, listener, role, NULL, NULL, &n, err) < 0)
		return -1;
	out[0] = PM_HANDSHAKE_VERSION;
	out[1] = (uint8_t)role;
	if (pm_noise_write(n, NULL, 0, out + 2, MESSAGE_FIRST, &len, err) < 0) {
		pm_noise_destroy(n);
		return -1;
	}
	make_mac(listener, out, out + MAC_AT);
	*noise = n;
	return 0;
}

static int check_version(const uint8_t *frame, size_t len, struct pm_error *err)
{
	if (len > 0 && frame[0] != PM_HANDSHAKE_VERSION)
		return pm_fail(err, PM_UNSUPPORTED,
		               "the other side begins with version %u, this one with %d", frame[0],
		               PM_HANDSHAKE_VERSION);
	return 0;
}

int pm_handshake_look(const uint8_t *own_public, const uint8_t *frame, size_t len,
                      struct pm_error *err)
{
	uint8_t mac[MAC];

	if (check_version(frame, len, err) < 0)
		return -1;
	if (len > 1 && (frame[1] < PM_ROLE_AGENT || frame[1] > PM_ROLE_COORDINATOR))
		return pm_fail(err, PM_PROTOCOL, "a peer of the unknown role %u", frame[1]);
	if (len < PM_FRAME_FIRST)
		return 0;
	make_mac(own_public, frame, mac);
	if (sodium_memcmp(mac, frame + MAC_AT, MAC) != 0)
		return pm_fail(err, PM_PROTOCOL, "a peer that does not know our key");
	return 1;
}

enum pm_role pm_handshake_role(const uint8_t *frame)
{
	return (enum pm_role)frame[1];
}

int pm_handshake_second(const struct pm_key *own, const uint8_t *frame, pm_noise_key_fn *check,
                        void *arg, uint8_t out[PM_FRAME_SECOND], struct pm_noise **noise,
                        struct pm_error *err)
{
	struct pm_noise *n;
	uint8_t none[1];
	size_t len;

	if (begin(false, own, NULL, pm_handshake_role(frame), check, arg, &n, err) < 0)
		return -1;
	if (pm_noise_read(n, frame + 2, MESSAGE_FIRST, none, 0, &len, err) < 0 ||
	    pm_noise_write(n, NULL, 0, out + 1, MESSAGE_SECOND, &len, err) < 0) {
		pm_noise_destroy(n);
		return -1;
	}
	out[0] = PM_HANDSHAKE_VERSION;
	*noise = n;
	return 0;
}

int pm_handshake_end(struct pm_noise *noise, const uint8_t *frame, size_t len, struct pm_error *err)
{
	uint8_t none[1];
	size_t n;

	if (check_version(frame, len, err) < 0)
		return -1;
	if (len < PM_FRAME_SECOND)
		return 0;
	return pm_noise_read(noise, frame + 1, MESSAGE_SECOND, none, 0, &n, err) < 0 ? -1 : 1;
}
