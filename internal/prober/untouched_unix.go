//go:build unix

package prober

import (
	"errors"
	"net"
	"syscall"
)

// untouched tells whether the agent neither closed an idle connection nor sent on
// it. A Read could not tell: it waits.
func untouched(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var got error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, got = syscall.Read(int(fd), b[:])
		return true
	})
	return err == nil && errors.Is(got, syscall.EAGAIN)
}
