// The parsers of bpf/ on the host, for libFuzzer. With WHOLE_FRAMES the input is an Ethernet frame,
// else the payload of a datagram. Either way the verdict has to be that of oracle.py, a process that
// the environment's ICELANE_FUZZ_ORACLE names, as a command of the shell.

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What BCC gives the program.
#define __always_inline inline __attribute__((always_inline))
#define bpf_htons(value) __builtin_bswap16(value)
#define bpf_ntohs(value) __builtin_bswap16(value)
#define bpf_htonl(value) __builtin_bswap32(value)
#define be32_to_cpu(value) __builtin_bswap32(value)
#define be64_to_cpu(value) __builtin_bswap64(value)
#define swab64(value) __builtin_bswap64(value)

#include "siphash.h"
#include "stun.h"

enum verdict { OTHER, MEDIA, MALFORMED, NO_REQUEST, NO_ROUTE, ROUTE };
enum { TAG_SIZE = 8, ANSWER_SIZE = 1 + ROUTE_SIZE + 1 };

static const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
static int ask = -1, answered = -1;

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void transfer(bool writing, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t some = writing ? write(ask, (char *)data + done, size - done) :
					 read(answered, (char *)data + done, size - done);
		if (some < 0 && errno == EINTR) // libFuzzer's clock ticks, and restarts nothing
			continue;
		require(some > 0, "the oracle has ended");
		done += some;
	}
}

// Start the oracle, with a pipe to it and one from it, and wait until it answers.
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *command = getenv("ICELANE_FUZZ_ORACLE");
	int to[2], from[2];
	uint32_t nothing = 0;
	uint8_t answer;

	(void)argc, (void)argv;
	require(command && !pipe(to) && !pipe(from), "no oracle");
	if (fork() == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	close(to[0]);
	close(from[1]);
	ask = to[1];
	answered = from[0];
	transfer(true, &nothing, sizeof(nothing));
	transfer(false, &answer, sizeof(answer));
	return 0;
}

// Numbers of a route as their bytes on the wire.
static void write_route(const struct route *route, uint8_t raw[ROUTE_SIZE])
{
	memcpy(raw, &route->head, 8);
	memcpy(raw + 8, &route->tail, ROUTE_SIGNED_SIZE - 8);
	memcpy(raw + ROUTE_SIGNED_SIZE, &route->tag, TAG_SIZE);
}

static size_t judge(const struct packet *packet, uint8_t answer[ANSWER_SIZE])
{
	struct route route;
	enum content content = classify(packet);

	if (content != CONTENT_STUN)
		answer[0] = content == CONTENT_OTHER ? OTHER : MEDIA;
	else if (!parse_stun(packet))
		answer[0] = MALFORMED;
	else if (!is_binding_request(packet))
		answer[0] = NO_REQUEST;
	else if (!parse_route(packet, &route))
		answer[0] = NO_ROUTE;
	else
		answer[0] = ROUTE;
	if (answer[0] != ROUTE)
		return 1;
	write_route(&route, answer + 1);
	answer[ANSWER_SIZE - 1] = siphash24_two_words(key[0], key[1], route.head, route.tail,
						      ROUTE_SIGNED_SIZE) == route.tag;
	return ANSWER_SIZE;
}

static void compare(const struct packet *packet)
{
	uint32_t length = packet->payload_length;
	uint8_t ours[ANSWER_SIZE], theirs[ANSWER_SIZE];
	size_t size = judge(packet, ours);

	transfer(true, &length, sizeof(length));
	transfer(true, packet->payload.at, length);
	transfer(false, theirs, 1);
	require(theirs[0] == ours[0], "the parsers in C and in Python give two verdicts");
	transfer(false, theirs + 1, size - 1);
	require(!memcmp(ours, theirs, size), "the parsers in C and in Python read two routes");
	require(!is_control(packet) || classify(packet) == CONTENT_OTHER, "control, and WebRTC");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet = {};
#ifdef WHOLE_FRAMES
	if (parse_frame((void *)data, (void *)(data + size), &packet) != REASON_NONE)
		return 0;
	require((uint8_t *)packet.payload.at + packet.payload_length <= data + size,
		"a payload beyond its frame");
#else
	packet.payload = (struct cursor){ (void *)data, (void *)(data + size) };
	packet.payload_length = size;
#endif
	compare(&packet);
	return 0;
}
