package shell

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	. "github.com/onsi/gomega"
)

// runningShell is a shell that has told its process id.
func runningShell(t *testing.T) *Shell {
	t.Helper()
	s := newShell(func() {})
	_, err := s.Write([]byte("17\r\n"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return s
}

func TestAShellTellsThatItRuns(t *testing.T) {
	for name, row := range map[string]struct {
		writes []string
		pid    int
		kept   string
		fails  bool
	}{
		"at once":         {[]string{"17\r\n$ "}, 17, "$ ", false},
		"bit by bit":      {[]string{"1", "7", "\r", "\n", "$", " "}, 17, "$ ", false},
		"not yet":         {[]string{"17"}, 0, "", false},
		"no number":       {[]string{"sh: not found\r\n"}, 0, "", true},
		"no process":      {[]string{"0\r\n"}, 0, "", true},
		"a line too long": {[]string{"12345678901234567890"}, 0, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newShell(func() {})
			for _, text := range row.writes {
				_, err := s.Write([]byte(text))
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(s.process()).To(Equal(row.pid))
			g.Expect(string(s.kept)).To(Equal(row.kept))
			g.Expect(errors.Is(s.reason(), errNoShell)).To(Equal(row.fails))
		})
	}
}

// Whoever comes back is given the end of the output, and what follows, and the shell
// keeps no more than it may.
func TestAShellKeepsTheEndOfItsOutput(t *testing.T) {
	g, s := NewWithT(t), runningShell(t)
	var all bytes.Buffer
	for i := range 100 {
		part := bytes.Repeat([]byte{byte(i)}, 10_000+i)
		all.Write(part)
		_, err := s.Write(part)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(s.kept)).To(BeNumerically("<=", 2*maxReplay))
	}
	first, again := s.attach(func(error) {})
	g.Expect(again).To(BeFalse())
	var got bytes.Buffer
	read := func(own *attachment, n int) {
		t.Helper()
		for got.Len() < n {
			output, err := s.next(t.Context(), own, 1000)
			g.Expect(err).NotTo(HaveOccurred())
			got.Write(output)
		}
	}
	read(first, maxReplay)
	g.Expect(got.Bytes()).To(Equal(all.Bytes()[all.Len()-maxReplay:]))
	s.detach(first)
	second, again := s.attach(func(error) {})
	g.Expect(again).To(BeTrue())
	got.Reset()
	read(second, maxReplay)
	g.Expect(got.Bytes()).To(Equal(all.Bytes()[all.Len()-maxReplay:]), "once more")
}

// A caller who does not read has the shell wait, until he has gone.
func TestAShellWaitsForItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := NewWithT(t), runningShell(t)
		own, _ := s.attach(func(error) {})
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			_, _ = s.Write(make([]byte, maxReplay+1)) // it does not fail
		}()
		synctest.Wait()
		g.Expect(wrote).NotTo(BeClosed())
		_, err := s.next(t.Context(), own, 1)
		g.Expect(err).NotTo(HaveOccurred())
		synctest.Wait()
		g.Expect(wrote).To(BeClosed(), "there is room")
		_, err = s.Write(nil)
		g.Expect(err).NotTo(HaveOccurred())
		more := make(chan struct{})
		go func() {
			defer close(more)
			_, _ = s.Write([]byte("x")) // as above
		}()
		synctest.Wait()
		g.Expect(more).NotTo(BeClosed())
		s.detach(own)
		synctest.Wait()
		g.Expect(more).To(BeClosed(), "nobody is waited for")
	})
}

func TestAShellHasOneCallerAtATime(t *testing.T) {
	g, s := NewWithT(t), runningShell(t)
	ctx, leave := context.WithCancelCause(t.Context())
	first, _ := s.attach(leave)
	second, _ := s.attach(func(error) {})
	_, err := s.next(ctx, first, 1)
	g.Expect(err).To(MatchError(errReplaced))
	s.detach(first)
	g.Expect(s.abandoned()).To(BeFalse(), "the second is there")
	s.detach(second)
	g.Expect(s.abandoned()).To(BeTrue())
}

// Whoever was replaced is given nothing more: what he was not given may be kept no longer.
func TestAShellWritesPastWhomItHasReplaced(t *testing.T) {
	g, s := NewWithT(t), runningShell(t)
	write := func() {
		_, err := s.Write(make([]byte, maxReplay))
		g.Expect(err).NotTo(HaveOccurred())
	}
	write()
	first, _ := s.attach(func(error) {})
	second, _ := s.attach(func(error) {})
	for range 3 {
		_, err := s.next(t.Context(), second, maxReplay)
		g.Expect(err).NotTo(HaveOccurred())
		write()
	}
	_, err := s.next(t.Context(), first, 1)
	g.Expect(err).To(MatchError(errReplaced))
}

// A shell ends when nobody has come back for its window, and no earlier.
func TestAShellIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		all := &Table[string]{}
		s, made, err := all.take("0", "a")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(made).To(BeTrue())
		time.Sleep(window - time.Second)
		own, _ := s.attach(func(error) {})
		time.Sleep(time.Hour)
		synctest.Wait()
		g.Expect(s.reason()).NotTo(HaveOccurred(), "somebody is there")
		s.detach(own)
		time.Sleep(window - time.Second)
		synctest.Wait()
		g.Expect(s.reason()).NotTo(HaveOccurred())
		again, made, err := all.take("0", "a")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(again).To(BeIdenticalTo(s))
		g.Expect(made).To(BeFalse())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		g.Expect(s.reason()).To(MatchError(errForgotten))
		g.Expect(all.all).To(BeEmpty())
		g.Expect(all.n).To(BeZero())
	})
}

// Nothing keeps what a shell has written once it is forgotten: it counts among those that there
// may be no more.
func TestAForgottenShellIsNotKept(t *testing.T) {
	g := NewWithT(t)
	all := &Table[string]{}
	forgotten := func() weak.Pointer[Shell] {
		s, _, err := all.take("0", "a")
		g.Expect(err).NotTo(HaveOccurred())
		own, _ := s.attach(func(error) {})
		s.finish(errExited)
		s.forget()
		s.detach(own)
		return weak.Make(s)
	}()
	g.Eventually(func() bool {
		runtime.GC()
		return forgotten.Value() == nil
	}, time.Minute).Should(BeTrue())
}

func TestShellsAreBounded(t *testing.T) {
	g, all := NewWithT(t), &Table[string]{}
	ids := "abcdefghijk"
	for i := range maxAll / MaxEach {
		of := strconv.Itoa(i)
		for _, id := range ids[:MaxEach] {
			_, _, err := all.take(of, string(id))
			g.Expect(err).NotTo(HaveOccurred())
		}
		_, _, err := all.take(of, ids[MaxEach:])
		g.Expect(err).To(MatchError(ErrSessionFull))
	}
	_, _, err := all.take("another", "a")
	g.Expect(err).To(MatchError(ErrFull))
	first, _, err := all.take("0", "a")
	g.Expect(err).NotTo(HaveOccurred())
	first.forget()
	first.forget() // once is enough
	_, made, err := all.take("another", "a")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(made).To(BeTrue())
}
