//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long is waited to see that nobody answers.
const patience = 100 * time.Millisecond

// blackHole makes a port that answers no SYN, on all addresses: its listener
// never accepts, and once its short queue is full the kernel drops each SYN
// without a word. It is gone with this process, and nothing of the machine is
// changed for it.
func blackHole() (port uint16, err error) {
	const backlog, enough = 1, 8
	_, port, err = listen(backlog)
	if err != nil {
		return 0, err
	}
	for range enough {
		answered, err := fill(port)
		if err != nil {
			return 0, fmt.Errorf("fill the queue: %w", err)
		}
		if !answered {
			return port, nil
		}
	}
	return 0, fmt.Errorf("the kernel still answers after %d connections", enough)
}

// fill adds a connection to the queue, to stay until this process ends, and
// tells whether it was answered.
func fill(port uint16) (answered bool, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	to := agentAddr(0, port)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return false, err
	}
	writable := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(writable, int(patience.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n == 0 && err == nil {
			err = unix.Close(fd) // it would go on trying
		}
		return n > 0, err
	}
}
