package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
)

// place is where an agent may listen.
type place struct {
	at        netip.AddrPort
	exclusive bool // nobody else was told to listen there

	mu    sync.Mutex
	last  []listening // that were looked at
	its   bool        // they were the agent's
	until time.Time   // when they are looked at again, if they were not
}

// doubted is how long another's socket is left alone: to look at all processes takes a while.
const doubted = time.Second

// isAgents tells whether it is an agent that listens there now. It is an error if that is a
// program of another user, where the agent was told to listen. Where the system does not tell
// who listens, it is the agent.
func (p *place) isAgents(agents group) (bool, error) {
	sockets, err := listeningAt(p.at)
	if errors.Is(err, errUntold) {
		return true, nil
	}
	if err != nil || len(sockets) == 0 {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Equal(sockets, p.last) && (p.its || time.Now().Before(p.until)) {
		return p.its, nil
	}
	its, err := familyOf(agents)
	if err != nil {
		return false, err
	}
	p.last, p.until = sockets, time.Now().Add(doubted)
	p.its, err = p.judge(sockets, its)
	return p.its, err
}

// judge tells whether sockets are the agent's. Where only it was told to listen, those of this
// user and of root are, too: an engine of containers listens for its containers.
func (p *place) judge(sockets []listening, agents *family) (bool, error) {
	if agents.has(sockets) {
		return true, nil
	}
	if !p.exclusive {
		return false, nil
	}
	stranger := func(s listening) bool { return !agents.owns(s) && s.uid != 0 && s.uid != uint64(os.Geteuid()) } //nolint:gosec // never negative here
	if i := slices.IndexFunc(sockets, stranger); i >= 0 {
		return false, fmt.Errorf("%w (uid %d) listens at %s, where the session's agent was told to listen. It is not taken for the agent; the session's next start has another port", errStranger, sockets[i].uid, p.at)
	}
	return true, nil
}

// errStranger is who listens in an agent's place.
var errStranger = errors.New("a program of another user")

// listening is a socket that a program listens with, as Linux tells it.
type listening struct {
	uid   uint64
	inode string
}

// errUntold is that the system does not tell who listens.
var errUntold = errors.New("this system does not tell who listens")

// listeningAt are the sockets that take connections to an address. Several have the same
// address where a program asked for that (SO_REUSEPORT).
func listeningAt(at netip.AddrPort) ([]listening, error) {
	found := map[string][]listening{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if err := readListening(table, at.Port(), found); err != nil {
			return nil, err
		}
	}
	for _, name := range boundFor(at.Addr()) {
		if all := found[name]; len(all) > 0 {
			return all, nil // what is bound to the address itself comes before the others
		}
	}
	return nil, nil
}

// boundFor are the addresses to which a socket may be bound that takes connections to one,
// as Linux writes them, in the order in which it chooses.
func boundFor(addr netip.Addr) []string {
	any6 := procHex(netip.IPv6Unspecified().AsSlice())
	if addr.Is6() {
		return []string{procHex(addr.AsSlice()), any6}
	}
	mapped := netip.AddrFrom16(addr.As16())
	return []string{procHex(addr.AsSlice()), procHex(mapped.AsSlice()), procHex(netip.IPv4Unspecified().AsSlice()), any6}
}

// procHex is an address as /proc/net/tcp has it: words of 32 bits in the order of the machine.
func procHex(addr []byte) (text string) {
	for word := range slices.Chunk(addr, 4) {
		text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(word))
	}
	return text
}

// readListening adds those at a port of a table of Linux, by the addresses that they are bound to.
func readListening(table string, port uint16, found map[string][]listening) error {
	file, err := os.Open(table) //nolint:gosec // of two
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(table, "6"):
		return nil // no IPv6
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return errUntold
	case err != nil:
		return fmt.Errorf("look who listens: %w", err)
	}
	defer file.Close()                //nolint:errcheck // it was read
	const listens = "0A"              // TCP_LISTEN
	const state, uid, inode = 3, 7, 9 // fields; the address is the second
	rows := bufio.NewScanner(file)
	rows.Scan() // the heading
	for rows.Scan() {
		fields := strings.Fields(rows.Text())
		if len(fields) <= inode || fields[state] != listens {
			if len(found) > 0 {
				break // Linux tells those that listen first
			}
			continue
		}
		name, its, _ := strings.Cut(fields[1], ":")
		if its != fmt.Sprintf("%04X", port) {
			continue
		}
		owner, err := strconv.ParseUint(fields[uid], 10, 32)
		if err != nil {
			return fmt.Errorf("look who listens: %s: %w", table, err)
		}
		found[name] = append(found[name], listening{owner, fields[inode]})
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look who listens: %w", err)
	}
	return nil
}

// family are processes that belong together: a group, and all that come from it by birth.
type family struct {
	inodes map[string]bool // of their sockets
	hidden map[uint64]bool // the users of those whose sockets nobody may see
}

// familyOf looks at the processes of a group.
func familyOf(all group) (*family, error) {
	processes, err := stats()
	if err != nil {
		return nil, err
	}
	f := &family{map[string]bool{}, map[uint64]bool{}}
	for pid := range processes {
		if isOf(pid, all, processes) {
			f.add(pid)
		}
	}
	return f, nil
}

// isOf tells whether a process, or one of its ancestors, is in a group.
func isOf(pid int, all group, born map[int]procfs.ProcStat) bool {
	for range born { // pids are given again, so ancestors may seem to go round
		stat, is := born[pid]
		if !is {
			return false
		}
		if pid == all.first || slices.Contains(all.ids(), stat.PGRP) {
			return true
		}
		pid = stat.PPID
	}
	return false
}

func (f *family) add(pid int) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return // it has ended
	}
	targets, err := process.FileDescriptorTargets()
	if errors.Is(err, fs.ErrPermission) { // of another user, as by sudo, or it hides its memory
		if status, err := process.NewStatus(); err == nil {
			f.hidden[status.UIDs[1]] = true
		}
	}
	for _, target := range targets {
		if inode, is := strings.CutPrefix(target, "socket:["); is {
			f.inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
}

// has tells whether all sockets are the family's.
func (f *family) has(sockets []listening) bool {
	return !slices.ContainsFunc(sockets, func(s listening) bool { return !f.owns(s) })
}

func (f *family) owns(s listening) bool { return f.inodes[s.inode] || f.hidden[s.uid] }
