/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the relay in C. */
#ifndef CRELAY_OPTIONS_H
#define CRELAY_OPTIONS_H

#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "crelay_route.h"

#define MAX_TARGETS 64 /* transceivers */

struct target {
	int32_t slot;
	struct sockaddr_in address;
};

struct options {
	struct sockaddr_in vip, upstream;
	uint16_t first_port, last_port; /* of upstream, one for each flow */
	uint32_t idle;			/* seconds of a transceiver's silence that end a flow */
	struct keys keys;
	struct target targets[MAX_TARGETS];
	int target_count;
};

static bool parse_address(const char *text, struct sockaddr_in *address)
{
	char host[INET_ADDRSTRLEN];
	int port;

	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	if (sscanf(text, "%15[0-9.]:%d", host, &port) != 2 || port < 0 || port > 65535)
		return false;
	address->sin_port = htons(port);
	return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

/* SLOT=HEX */
static bool parse_key(struct options *options, const char *text)
{
	uint8_t bytes[16];
	int slot, at;

	if (sscanf(text, "%d=%n", &slot, &at) != 1 || slot < 0 || slot >= KEY_SLOTS)
		return false;
	if (strlen(text + at) != 2 * sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		if (sscanf(text + at + 2 * i, "%2hhx", &bytes[i]) != 1)
			return false;
	options->keys.there[slot] = true;
	options->keys.key[slot][0] = read_le64(bytes);
	options->keys.key[slot][1] = read_le64(bytes + 8);
	return true;
}

/* SLOT=IP:PORT */
static bool parse_target(struct options *options, const char *text)
{
	struct target *target = &options->targets[options->target_count];
	int at;

	if (options->target_count == MAX_TARGETS || sscanf(text, "%d=%n", &target->slot, &at) != 1)
		return false;
	options->target_count++;
	return parse_address(text + at, &target->address);
}

static bool parse_ports(struct options *options, const char *text)
{
	return sscanf(text, "%hu-%hu", &options->first_port, &options->last_port) == 2 &&
	       options->first_port > 0 && options->first_port <= options->last_port;
}

static bool parse_option(struct options *options, int option, const char *text)
{
	switch (option) {
	case 'l':
		return parse_address(text, &options->vip);
	case 'u':
		return parse_address(text, &options->upstream);
	case 'p':
		return parse_ports(options, text);
	case 'c':
		return sscanf(text, "%hu", &options->keys.cluster) == 1;
	case 'k':
		return parse_key(options, text);
	case 't':
		return parse_target(options, text);
	case 'i':
		return sscanf(text, "%u", &options->idle) == 1;
	default:
		return false;
	}
}

static void parse_options(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "listen", required_argument, NULL, 'l' },   /* IP:PORT */
		{ "upstream", required_argument, NULL, 'u' }, /* IP:0 */
		{ "ports", required_argument, NULL, 'p' },    /* FIRST-LAST, of upstream */
		{ "cluster", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },	 /* SLOT=HEX, any number */
		{ "transceiver", required_argument, NULL, 't' }, /* SLOT=IP:PORT, any number */
		{ "idle", required_argument, NULL, 'i' },	 /* seconds */
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (!parse_option(options, option, optarg)) {
			fprintf(stderr, "crelay: %s is wrong\n", argv[optind - 1]);
			exit(2);
		}
	}
	if (!options->vip.sin_family || !options->upstream.sin_family || !options->first_port ||
	    !options->target_count) {
		fprintf(stderr, "crelay: needs --listen, --upstream, --ports, --transceiver\n");
		exit(2);
	}
}

#endif
