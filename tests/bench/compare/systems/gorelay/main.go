// SPDX-License-Identifier: Apache-2.0

// A relay in Go, for the comparison, built the way that the original is described: workers that
// share the clients' port by SO_REUSEPORT, each locked to an operating system thread, with buffers
// made beforehand; the standard library only.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// config is the command line.
type config struct {
	vip       netip.AddrPort
	upstream  netip.AddrPort // its port is not used
	firstPort int
	lastPort  int
	idle      time.Duration
	workers   int
	keys      keys
	targets   map[int]netip.AddrPort // by transceiver slot
}

const otherFiles = 64 // those of the runtime among them

var errForm = errors.New("has another form")

func main() {
	c, err := parse(os.Args[1:])
	if err == nil {
		err = run(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gorelay:", err)
		os.Exit(1)
	}
}

func run(c *config) error {
	if err := allowSockets(c.lastPort - c.firstPort + 1); err != nil {
		return err
	}
	ended := make(chan error)
	for i := 0; i < c.workers; i++ {
		w, err := newWorker(c, i)
		if err != nil {
			return err
		}
		go func() {
			runtime.LockOSThread()
			ended <- w.serve()
		}()
	}
	fmt.Println("ready")
	return <-ended
}

// allowSockets lets the process have a socket for every flow. Only root may raise the hard limit;
// with what others have, fewer flows open.
func allowSockets(flows int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	wanted := uint64(flows + otherFiles)
	raised := syscall.Rlimit{Cur: wanted, Max: wanted}
	if limit.Max < wanted && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return nil
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func parse(arguments []string) (*config, error) {
	c := &config{targets: map[int]netip.AddrPort{}}
	flags := flag.NewFlagSet("gorelay", flag.ContinueOnError)
	cluster := flags.Uint("cluster", 0, "the cluster whose routes are served")
	idle := flags.Int("idle", 120, "seconds of a transceiver's silence that end a flow")
	flags.IntVar(&c.workers, "workers", 1, "threads that serve clients")
	flags.Func("listen", "IP:PORT that clients send to", address(&c.vip))
	flags.Func("upstream", "IP:0, the address towards transceivers", address(&c.upstream))
	flags.Func("ports", "FIRST-LAST, upstream ports, one for each flow", c.parsePorts)
	flags.Func("key", "SLOT=HEX, the key of routes in a key slot", c.parseKey)
	flags.Func("transceiver", "SLOT=IP:PORT, where a transceiver is", c.parseTarget)
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if !c.vip.IsValid() || !c.upstream.IsValid() || c.firstPort == 0 || len(c.targets) == 0 {
		return nil, errors.New("needs --listen, --upstream, --ports, --transceiver")
	}
	c.keys.cluster = uint16(*cluster)
	c.idle = time.Duration(*idle) * time.Second
	return c, nil
}

func address(to *netip.AddrPort) func(string) error {
	return func(text string) (err error) {
		*to, err = netip.ParseAddrPort(text)
		if err == nil && !to.Addr().Is4() {
			return errForm
		}
		return err
	}
}

func (c *config) parsePorts(text string) error {
	_, err := fmt.Sscanf(text, "%d-%d", &c.firstPort, &c.lastPort)
	if err == nil && (c.firstPort < 1 || c.lastPort < c.firstPort || c.lastPort > 65535) {
		return errForm
	}
	return err
}

// numbered splits SLOT=VALUE.
func numbered(text string) (slot int, value string, err error) {
	number, value, found := strings.Cut(text, "=")
	if !found {
		return 0, "", errForm
	}
	slot, err = strconv.Atoi(number)
	return slot, value, err
}

func (c *config) parseKey(text string) error {
	slot, value, err := numbered(text)
	if err != nil {
		return err
	}
	key, err := hex.DecodeString(value)
	if err != nil || len(key) != 16 || slot < 0 || slot >= keySlots {
		return errForm
	}
	c.keys.slots[slot] = &sipKey{binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])}
	return nil
}

func (c *config) parseTarget(text string) error {
	slot, value, err := numbered(text)
	if err != nil {
		return err
	}
	var target netip.AddrPort
	err = address(&target)(value)
	c.targets[slot] = target
	return err
}
