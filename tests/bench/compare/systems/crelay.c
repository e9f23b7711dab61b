/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay in C, for the comparison: one thread, epoll, recvmmsg and sendmmsg, and io_uring where
 * many sockets send at once.
 *
 * Clients send to one socket. A client's first Binding request with a valid route opens a flow: a
 * socket with a port of its own, connected to the transceiver, so that the kernel keeps its route
 * and drops what others send there. Until then nothing of the client passes. A flow ends when the
 * transceiver has been silent for some time; what the client sends does not keep it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crelay_options.h"
#include "crelay_ring.h"

enum {
	BATCH = 64,	   /* datagrams, or GRO batches of them, in one system call */
	EVENTS = 256,	   /* ready sockets in one system call */
	/*
	 * For a GRO batch: what GRO joins of one flow is never larger than 64 KiB. The rest keeps the
	 * starts of the buffers out of each other's cache sets.
	 */
	ROOM = (1 << 16) + 320,
	DRAIN = 8,	   /* datagrams taken from a flow's socket at a time */
	TABLE = 1 << 18,   /* four times the ports that there are */
	SOCKET_ROOM = 8 << 20,
	OTHER_FILES = 16,
	PUBLIC = 0,	   /* the number of the clients' socket; those of flows are their ports' */
};

struct flow {
	uint64_t client; /* address and port as one number; 0: the port is free */
	int fd;
	uint32_t last_seen; /* seconds */
};

/* Clients by address: open addressing, linear probing. */
struct entry {
	uint64_t client; /* 0: none */
	int fd; /* here, too, so that one cache line is all that a packet needs */
};

struct batch {
	struct mmsghdr message[BATCH];
	struct iovec part[BATCH];
	struct sockaddr_in name[BATCH];
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control[BATCH];
	uint8_t data[BATCH][ROOM];
	bool named; /* whether senders' addresses are wanted */
};

static struct options options = { .idle = 120 };
static struct entry table[TABLE];
static struct flow flows[1 << 16]; /* by number of the port */
static uint16_t next_port;
static int public_fd, epoll_fd;
static uint32_t now;
static struct ring sends = { .fd = -1 }; /* by flows' sockets */
static struct batch from_clients, from_transceivers;

static void die(const char *what)
{
	fprintf(stderr, "crelay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
	return time.tv_sec;
}

static uint64_t client_key(const struct sockaddr_in *address)
{
	return (uint64_t)address->sin_addr.s_addr << 16 | address->sin_port;
}

static uint32_t home(uint64_t client)
{
	return client * 0x9e3779b97f4a7c15 >> 46; /* the highest 18 bits, as many as TABLE has */
}

static struct entry *find(uint64_t client)
{
	uint32_t at = home(client);

	while (table[at].client && table[at].client != client)
		at = (at + 1) % TABLE;
	return &table[at];
}

/* Take an entry out, and move those that stand behind it only because of it. */
static void forget(uint64_t client)
{
	uint32_t hole = find(client) - table, at = hole;

	for (;;) {
		at = (at + 1) % TABLE;
		if (!table[at].client)
			break;
		if ((at - home(table[at].client)) % TABLE >= (at - hole) % TABLE) {
			table[hole] = table[at];
			hole = at;
		}
	}
	table[hole].client = 0;
}

static int open_socket(struct sockaddr_in *local)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, room = SOCKET_ROOM;

	if (fd < 0 || bind(fd, (struct sockaddr *)local, sizeof(*local)) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return fd;
}

static void watch(int fd, uint32_t events, uint32_t number)
{
	struct epoll_event event = { .events = events, .data.u32 = number };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* The next free port in turn, so that one is not used again soon; -1 when all are taken. */
static int open_flow(const struct target *target)
{
	struct sockaddr_in local = options.upstream;
	uint32_t ports = options.last_port - options.first_port + 1;

	for (uint32_t tried = 0; tried < ports; tried++) {
		uint16_t port = options.first_port + (next_port++ - options.first_port) % ports;
		int fd;

		if (flows[port].client)
			continue;
		local.sin_port = htons(port);
		fd = open_socket(&local);
		if (fd < 0)
			continue;
		if (connect(fd, (struct sockaddr *)&target->address, sizeof(target->address)) < 0)
			die("connect");
		flows[port].fd = fd;
		return port;
	}
	return -1;
}

/* The entry of a client's flow, which is opened when the datagram asks for that; or NULL. */
static struct entry *find_or_open(const struct sockaddr_in *client, const uint8_t *data, size_t size)
{
	struct entry *entry = find(client_key(client));
	int32_t slot;
	int port;

	if (entry->client)
		return entry;
	slot = find_slot(&options.keys, data, size);
	for (int i = 0; slot >= 0 && i < options.target_count; i++) {
		if (options.targets[i].slot != slot)
			continue;
		port = open_flow(&options.targets[i]);
		if (port < 0)
			return NULL;
		flows[port].client = entry->client = client_key(client);
		flows[port].last_seen = now;
		entry->fd = flows[port].fd;
		watch(entry->fd, EPOLLIN | EPOLLET, port);
		return entry;
	}
	return NULL;
}

static void expire(void)
{
	for (uint32_t port = options.first_port; port <= options.last_port; port++) {
		struct flow *flow = &flows[port];

		if (!flow->client || now - flow->last_seen <= options.idle)
			continue;
		forget(flow->client);
		close(flow->fd);
		flow->client = 0;
	}
}

/* Make a message ready to be received into. */
static void reset(struct batch *batch, int i)
{
	batch->part[i] = (struct iovec){ batch->data[i], ROOM };
	batch->message[i].msg_hdr = (struct msghdr){
		.msg_name = batch->named ? &batch->name[i] : NULL,
		.msg_namelen = batch->named ? sizeof(batch->name[i]) : 0,
		.msg_iov = &batch->part[i],
		.msg_iovlen = 1,
		.msg_control = &batch->control[i],
		.msg_controllen = sizeof(batch->control[i]),
	};
}

/* The size of the datagrams of a GRO batch, or 0 when there is but one. */
static int segment(const struct mmsghdr *message)
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(&message->msg_hdr);
	int size;

	if (!control || control->cmsg_level != IPPROTO_UDP || control->cmsg_type != UDP_GRO)
		return 0;
	memcpy(&size, CMSG_DATA(control), sizeof(size));
	return (uint32_t)size < message->msg_len ? size : 0;
}

/* Make what was received into a message to send, which the kernel cuts into datagrams again. */
static void turn(struct batch *batch, int i, struct sockaddr_in *to)
{
	struct msghdr *header = &batch->message[i].msg_hdr;
	uint16_t size = segment(&batch->message[i]);

	batch->part[i].iov_len = batch->message[i].msg_len;
	header->msg_name = to;
	header->msg_namelen = to ? sizeof(*to) : 0;
	header->msg_control = size ? &batch->control[i] : NULL;
	header->msg_controllen = size ? CMSG_SPACE(sizeof(size)) : 0;
	if (!size)
		return;
	CMSG_FIRSTHDR(header)->cmsg_level = IPPROTO_UDP;
	CMSG_FIRSTHDR(header)->cmsg_type = UDP_SEGMENT;
	CMSG_FIRSTHDR(header)->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(header)), &size, sizeof(size));
}

/* Send a message that was received, by a flow's socket. */
static void pass_on(int fd, int i)
{
	struct mmsghdr *message = &from_clients.message[i];

	turn(&from_clients, i, NULL);
	if (sends.fd < 0)
		sendmsg(fd, &message->msg_hdr, MSG_DONTWAIT);
	else if (message->msg_hdr.msg_control)
		ring_add(&sends, IORING_OP_SENDMSG, fd, &message->msg_hdr, 1);
	else
		ring_add(&sends, IORING_OP_SEND, fd, from_clients.data[i], message->msg_len);
}

/* From clients to transceivers. */
static void forward(void)
{
	int count = recvmmsg(public_fd, from_clients.message, BATCH, MSG_DONTWAIT, NULL);

	for (int i = 0; i < count; i++) {
		int size = from_clients.message[i].msg_len;
		int gso = segment(&from_clients.message[i]);
		struct entry *entry = find_or_open(&from_clients.name[i], from_clients.data[i],
						   gso ? gso : size);

		if (entry)
			pass_on(entry->fd, i);
	}
	ring_submit(&sends);
	for (int i = 0; i < count; i++)
		reset(&from_clients, i);
}

static void flush(int *filled)
{
	for (int sent = 0, count; sent < *filled; sent += count > 0 ? count : 1)
		count = sendmmsg(public_fd, from_transceivers.message + sent, *filled - sent,
				 MSG_DONTWAIT);
	for (int i = 0; i < *filled; i++)
		reset(&from_transceivers, i);
	*filled = 0;
}

/* All that the transceiver has sent to a flow; the kernel tells of it once only. */
static void collect(struct flow *flow, int *filled)
{
	int count, wanted;

	do {
		if (*filled == BATCH)
			flush(filled);
		wanted = BATCH - *filled < DRAIN ? BATCH - *filled : DRAIN;
		count = recvmmsg(flow->fd, from_transceivers.message + *filled, wanted,
				 MSG_DONTWAIT, NULL);
		for (int i = *filled; i < *filled + count; i++) {
			from_transceivers.name[i] = (struct sockaddr_in){
				.sin_family = AF_INET,
				.sin_addr.s_addr = flow->client >> 16,
				.sin_port = flow->client,
			};
			turn(&from_transceivers, i, &from_transceivers.name[i]);
		}
		if (count > 0) {
			*filled += count;
			flow->last_seen = now;
		}
	} while (count == wanted || (count < 0 && errno == ECONNREFUSED));
}

static void serve(void)
{
	struct epoll_event events[EVENTS];
	uint32_t checked = seconds();

	for (;;) {
		int count = epoll_wait(epoll_fd, events, EVENTS, 1000), filled = 0;
		bool clients = false;

		now = seconds();
		for (int i = 0; i < count; i++) {
			if (events[i].data.u32 == PUBLIC)
				clients = true;
			else if (flows[events[i].data.u32].client)
				collect(&flows[events[i].data.u32], &filled);
		}
		flush(&filled);
		if (clients)
			forward();
		if (now != checked) {
			expire();
			checked = now;
		}
	}
}

/* Only root may raise the hard limit; with what others have, fewer flows open. */
static void allow_sockets(rlim_t flow_count)
{
	rlim_t wanted = flow_count + OTHER_FILES;
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < wanted &&
	    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ wanted, wanted }) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	parse_options(&options, argc, argv);
	allow_sockets(options.last_port - options.first_port + 1);
	epoll_fd = epoll_create1(0);
	public_fd = open_socket(&options.vip);
	if (epoll_fd < 0 || public_fd < 0)
		die("listen");
	if (!ring_open(&sends, BATCH))
		fprintf(stderr, "crelay: no io_uring here; sending takes a system call each\n");
	next_port = options.first_port;
	now = seconds();
	watch(public_fd, EPOLLIN, PUBLIC);
	from_clients.named = true;
	for (int i = 0; i < BATCH; i++) {
		reset(&from_clients, i);
		reset(&from_transceivers, i);
	}
	printf("ready\n");
	fflush(stdout);
	serve();
}
