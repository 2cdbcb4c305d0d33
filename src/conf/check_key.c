/*
 * check_key.c: a key's secret. The file is read with the rights of the
 * caller; what is in it never reaches a complaint.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/check.h"

#define SECRET_MAX 4096

/* Bytes read, -1 and errno; reads one more than it may hold. */
static ssize_t read_secret(
	const char *file, uint8_t *out, size_t size, struct stat *st)
{
	size_t n = 0;
	ssize_t got = -1;
	int error;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) < 0)
		goto done;
	if (!S_ISREG(st->st_mode)) {
		errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
		goto done;
	}
	while ((got = read(fd, out + n, size - n)) > 0)
		n += (size_t)got;
done:
	error = errno;
	close(fd);
	errno = error;
	return got < 0 ? -1 : (ssize_t)n;
}

/* The secret's length, -1 after a complaint. */
static ssize_t judge_secret(struct builder *b, struct build_at at,
	const char *file, const uint8_t *secret, size_t n)
{
	static const char pem[] = "-----BEGIN";

	if (n > SECRET_MAX) {
		build_error(b, at, "%s is too long, expected at most %d bytes",
			file, SECRET_MAX);
		return -1;
	}
	if (n >= sizeof(pem) - 1 && memcmp(secret, pem, sizeof(pem) - 1) == 0) {
		/* A public key as an HMAC secret: everybody could sign. */
		build_error(b, at,
			"%s holds PEM, expected a secret for HS256 "
			"(wsrelayctl key makes one)",
			file);
		return -1;
	}
	if (n > 0 && secret[n - 1] == '\n')
		n--;
	if (n < JWT_SECRET_MIN) {
		build_error(b, at,
			"%s holds %zu bytes, expected at least %d "
			"(RFC 7518 section 3.2; wsrelayctl key makes a secret)",
			file, n, JWT_SECRET_MIN);
		return -1;
	}
	return (ssize_t)n;
}

static void load_secret(struct builder *b, struct conf_key *k, size_t index)
{
	struct build_at at = { SECTION_KEY, index, "secret_file", 0 };
	uint8_t bytes[SECRET_MAX + 2];
	struct stat st;
	ssize_t n = read_secret(k->secret_file, bytes, sizeof(bytes), &st);
	uint8_t *secret = NULL;

	if (n < 0) {
		build_error(b, at, "%s: %s, expected a readable file",
			k->secret_file,
			errno == EINVAL ? "not a regular file"
					: strerror(errno));
		return;
	}
	if (st.st_mode & S_IROTH)
		build_warn(b, at, "%s can be read by everybody (chmod o-r)",
			k->secret_file);
	n = judge_secret(b, at, k->secret_file, bytes, (size_t)n);
	if (n > 0) {
		secret = malloc((size_t)n);
		if (!secret)
			build_no_memory(b);
	}
	if (secret) {
		memcpy(secret, bytes, (size_t)n);
		k->jwt.secret = secret;
		k->jwt.secret_n = (size_t)n;
	}
	explicit_bzero(bytes, sizeof(bytes));
}

void check_key(struct builder *b, struct conf_key *k, size_t index)
{
	k->jwt.name = k->section.name;
	k->jwt.algorithm = (enum jwt_algorithm)k->algorithm;
	k->jwt.issuer = k->issuer;
	k->jwt.audience = k->audience;
	k->jwt.max_ttl_ms = k->max_ttl;
	k->jwt.leeway_ms = k->leeway;
	if (k->secret_file)
		load_secret(b, k, index);
}
