/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_uring, as much of it as serves to send by many sockets with one system call. Every request is
 * one that the kernel can do at once or refuse, so none is under way after the call.
 */
#ifndef CRELAY_RING_H
#define CRELAY_RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
	int fd;
	struct io_uring_sqe *requests;
	unsigned added, mask;
	unsigned *tail;			 /* of requests; only we write it */
	unsigned *done_head, *done_tail; /* of what ended; the kernel writes the tail */
};

static void *ring_map(int fd, size_t size, off_t what)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
}

/* Returns whether there is io_uring here with what is needed of it: Linux 5.18, and not disabled. */
static bool ring_open(struct ring *ring, unsigned entries)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SUBMIT_ALL };
	uint8_t *requests, *done;
	unsigned *order;

	ring->fd = syscall(SYS_io_uring_setup, entries, &params);
	if (ring->fd < 0)
		return false;
	requests = ring_map(ring->fd, params.sq_off.array + params.sq_entries * sizeof(unsigned),
			    IORING_OFF_SQ_RING);
	done = ring_map(ring->fd,
			params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
			IORING_OFF_CQ_RING);
	ring->requests = ring_map(ring->fd, params.sq_entries * sizeof(struct io_uring_sqe),
				  IORING_OFF_SQES);
	if (requests == MAP_FAILED || done == MAP_FAILED || ring->requests == MAP_FAILED)
		return false;
	ring->tail = (unsigned *)(requests + params.sq_off.tail);
	ring->done_head = (unsigned *)(done + params.cq_off.head);
	ring->done_tail = (unsigned *)(done + params.cq_off.tail);
	ring->mask = params.sq_entries - 1;
	order = (unsigned *)(requests + params.sq_off.array);
	for (unsigned i = 0; i < params.sq_entries; i++)
		order[i] = i;
	return true;
}

/* Add a request; there may be as many as the ring has entries. */
static void ring_add(struct ring *ring, uint8_t operation, int fd, const void *at, uint32_t length)
{
	unsigned place = (*ring->tail + ring->added++) & ring->mask;

	ring->requests[place] = (struct io_uring_sqe){
		.opcode = operation,
		.flags = IOSQE_CQE_SKIP_SUCCESS,
		.fd = fd,
		.addr = (uintptr_t)at,
		.len = length,
		.msg_flags = MSG_DONTWAIT,
	};
}

/* Do all that was added. What the kernel refused is lost, as it is on a full socket. */
static void ring_submit(struct ring *ring)
{
	if (!ring->added)
		return;
	__atomic_store_n(ring->tail, *ring->tail + ring->added, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring->fd, ring->added, 0, 0, NULL, 0);
	ring->added = 0;
	__atomic_store_n(ring->done_head, __atomic_load_n(ring->done_tail, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
}

#endif
