// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"syscall"
	"unsafe"
)

const (
	batchSize = 64   // datagrams in one system call
	room      = 2048 // for a datagram: MTUs of 1500 are what media is made for
	nameSize  = syscall.SizeofSockaddrInet4
)

// sendmmsg has no name in package syscall, which was frozen before it came.
var sysSendmmsg = map[string]uintptr{"amd64": 307, "arm64": 269}[runtime.GOARCH]

// mmsghdr is struct mmsghdr of <sys/socket.h>.
type mmsghdr struct {
	header syscall.Msghdr
	size   uint32
	_      uint32
}

// batch is room for datagrams with their addresses, as recvmmsg and sendmmsg want it.
type batch struct {
	messages [batchSize]mmsghdr
	vectors  [batchSize]syscall.Iovec
	names    [batchSize]syscall.RawSockaddrInet4
	data     [batchSize][room]byte
	named    bool // whether senders' addresses are wanted
}

func newBatch(named bool) *batch {
	b := &batch{named: named}
	for i := range b.messages {
		b.vectors[i].Base = &b.data[i][0]
		b.messages[i].header.Iov = &b.vectors[i]
		b.messages[i].header.Iovlen = 1
		b.reset(i)
	}
	return b
}

// reset makes a message ready to be received into.
func (b *batch) reset(i int) {
	b.vectors[i].Len = room
	if b.named {
		b.messages[i].header.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		b.messages[i].header.Namelen = nameSize
	} else {
		b.messages[i].header.Name = nil
		b.messages[i].header.Namelen = 0
	}
}

// turn makes a message that was received ready to be sent to an address.
func (b *batch) turn(i int, to *syscall.RawSockaddrInet4) {
	b.vectors[i].Len = uint64(b.messages[i].size)
	b.names[i] = *to
	b.messages[i].header.Name = (*byte)(unsafe.Pointer(&b.names[i]))
	b.messages[i].header.Namelen = nameSize
}

func (b *batch) payload(i int) []byte {
	return b.data[i][:b.messages[i].size]
}

// The calls below never block, so the scheduler, which syscall.Syscall would tell, need not know.

// receive fills messages from `first` to before `end`, and returns how many came.
func (b *batch) receive(fd, first, end int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&b.messages[first])), uintptr(end-first), syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send sends the first messages; those that the socket has no room for are lost.
func (b *batch) send(fd, end int) {
	for first := 0; first < end; {
		n, _, errno := syscall.RawSyscall6(sysSendmmsg, uintptr(fd),
			uintptr(unsafe.Pointer(&b.messages[first])), uintptr(end-first), syscall.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			n = 1
		}
		first += int(n)
	}
}

// sendOn sends one message on a connected socket.
func (b *batch) sendOn(fd, i int) {
	syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b.data[i][0])),
		uintptr(b.messages[i].size), syscall.MSG_DONTWAIT, 0, 0)
}
