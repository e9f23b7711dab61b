// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"syscall"
	"time"
	"unsafe"
)

const (
	soReusePort = 15 // SO_REUSEPORT, which package syscall has not on every processor
	epollET     = 1 << 31
	readySize   = 256     // sockets in one answer of epoll_wait
	drain       = 8       // datagrams taken from a flow's socket at a time
	socketRoom  = 8 << 20 // bytes
	clientsFlow = -1      // stands for the clients' socket in epoll
)

// A flow is a client with a socket of its own towards the transceiver, connected, so that the
// kernel keeps its route and drops what others send there.
type flow struct {
	client   syscall.RawSockaddrInet4
	fd       int
	lastSeen time.Duration // when the transceiver sent, by the worker's clock
}

// clientKey is an address and a port as one number.
type clientKey uint64

func keyOf(name *syscall.RawSockaddrInet4) clientKey {
	return clientKey(*(*uint32)(unsafe.Pointer(&name.Addr)))<<16 | clientKey(name.Port)
}

// A worker serves the clients that the kernel gives its socket, on one thread and without locks.
type worker struct {
	config  *config
	clients int // socket
	epoll   int
	flows   []flow              // by place of the port among the worker's; fd -1: not in use
	known   map[clientKey]*flow // by client
	number  int
	next    int // place of the port to try next
	started time.Time
	now     time.Duration

	fromClients, fromTransceivers *batch
}

func newWorker(c *config, number int) (*worker, error) {
	ports := (c.lastPort - c.firstPort + 1 - number + c.workers - 1) / c.workers
	w := &worker{
		config:           c,
		number:           number,
		flows:            make([]flow, ports),
		known:            make(map[clientKey]*flow, ports),
		started:          time.Now(),
		fromClients:      newBatch(true),
		fromTransceivers: newBatch(false),
	}
	for i := range w.flows {
		w.flows[i].fd = -1
	}
	var err error
	if w.epoll, err = syscall.EpollCreate1(0); err != nil {
		return nil, err
	}
	if w.clients, err = openSocket(c.vip, true); err != nil {
		return nil, err
	}
	return w, w.watch(w.clients, syscall.EPOLLIN, clientsFlow)
}

func openSocket(local netip.AddrPort, shared bool) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if shared {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
			return -1, err
		}
	}
	// Without the right to, the kernel's usual size has to do.
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, socketRoom)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, socketRoom)
	if err := syscall.Bind(fd, sockaddr(local)); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(address netip.AddrPort) *syscall.SockaddrInet4 {
	return &syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
}

func (w *worker) watch(fd int, events uint32, number int) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(number)}
	return syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_ADD, fd, &event)
}

// serve forwards until it fails.
func (w *worker) serve() error {
	ready := make([]syscall.EpollEvent, readySize)
	checked := time.Duration(0)
	for {
		count, err := syscall.EpollWait(w.epoll, ready, 1000)
		if err != nil && err != syscall.EINTR {
			return err
		}
		w.now = time.Since(w.started)
		filled, clients := 0, false
		for i := 0; i < count; i++ {
			if number := ready[i].Fd; number == clientsFlow {
				clients = true
			} else if f := &w.flows[number]; f.fd >= 0 {
				filled = w.collect(f, filled)
			}
		}
		w.flush(filled)
		if clients {
			w.forward()
		}
		if w.now-checked > time.Second {
			w.expire()
			checked = w.now
		}
	}
}

// forward passes what clients have sent on to transceivers.
func (w *worker) forward() {
	b := w.fromClients
	count, _ := b.receive(w.clients, 0, batchSize)
	for i := 0; i < count; i++ {
		f := w.known[keyOf(&b.names[i])]
		if f == nil {
			f = w.open(&b.names[i], b.payload(i))
		}
		if f != nil {
			b.sendOn(f.fd, i)
		}
		b.reset(i)
	}
}

// collect takes all that the transceiver has sent to a flow: the kernel tells of it once only.
func (w *worker) collect(f *flow, filled int) int {
	b := w.fromTransceivers
	for {
		if filled == batchSize {
			w.flush(filled)
			filled = 0
		}
		end := filled + drain
		if end > batchSize {
			end = batchSize
		}
		count, errno := b.receive(f.fd, filled, end)
		for i := filled; i < filled+count; i++ {
			b.turn(i, &f.client)
		}
		if count > 0 {
			f.lastSeen = w.now
		}
		filled += count
		if filled < end && errno != syscall.ECONNREFUSED {
			return filled
		}
	}
}

// flush sends what was collected to the clients.
func (w *worker) flush(filled int) {
	w.fromTransceivers.send(w.clients, filled)
	for i := 0; i < filled; i++ {
		w.fromTransceivers.reset(i)
	}
}

// open opens a flow for a client whose datagram has a valid route, or returns nil.
func (w *worker) open(client *syscall.RawSockaddrInet4, data []byte) *flow {
	slot, valid := w.config.keys.findSlot(data)
	target, there := w.config.targets[slot]
	if !valid || !there {
		return nil
	}
	place, fd := w.openPort()
	if fd < 0 {
		return nil
	}
	if err := syscall.Connect(fd, sockaddr(target)); err != nil {
		syscall.Close(fd)
		return nil
	}
	if err := w.watch(fd, syscall.EPOLLIN|epollET, place); err != nil {
		syscall.Close(fd)
		return nil
	}
	f := &w.flows[place]
	*f = flow{client: *client, fd: fd, lastSeen: w.now}
	w.known[keyOf(client)] = f
	return f
}

// openPort binds the next free port in turn, so that one is not used again soon; fd is -1 when all
// are taken. Workers have every n-th port each.
func (w *worker) openPort() (place, fd int) {
	for range w.flows {
		place, w.next = w.next, (w.next+1)%len(w.flows)
		if w.flows[place].fd >= 0 {
			continue
		}
		port := w.config.firstPort + w.number + place*w.config.workers
		local := netip.AddrPortFrom(w.config.upstream.Addr(), uint16(port))
		if fd, err := openSocket(local, false); err == nil {
			return place, fd
		}
	}
	return 0, -1
}

// expire ends flows whose transceiver is silent.
func (w *worker) expire() {
	for client, f := range w.known {
		if w.now-f.lastSeen > w.config.idle {
			delete(w.known, client)
			syscall.Close(f.fd)
			f.fd = -1
		}
	}
}
