package node

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
)

func never() bool { return false }

// TestASlowReader: who takes lines, however slowly, gets all of them.
func TestASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var said []string
		l := newLines(func(line Line) {
			time.Sleep(stallTimeout - time.Millisecond)
			said = append(said, line.Text)
		}, false)
		var want []string
		for n := range 3 * queued {
			want = append(want, strconv.Itoa(n))
			l.put(Line{Text: strconv.Itoa(n)}, never)
		}
		l.end()
		g.Expect(said).To(Equal(want))
	})
}

// TestAReaderThatStops is waited for once, and is told then what it has missed.
func TestAReaderThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var said []Line
		again := make(chan struct{})
		l := newLines(func(line Line) {
			<-again
			said = append(said, line)
		}, false)
		l.put(Line{Session: "other-id", Name: "other", Text: "first"}, never)
		synctest.Wait() // it is taken, and not read
		begun := time.Now()
		for n := range queued + 7 {
			l.put(Line{Session: "one-id", Name: "one", Text: strconv.Itoa(n)}, never)
		}
		l.put(Line{Session: "other-id", Name: "other", Text: "x"}, never)
		g.Expect(time.Since(begun)).To(Equal(stallTimeout))
		close(again)
		synctest.Wait()
		g.Expect(said).To(HaveLen(1 + queued + 2))
		g.Expect(said[queued+1:]).To(ConsistOf(
			Line{Session: "one-id", Name: "one", Stream: Note, Text: "7 lines of one were not shown: they were not read in time"},
			Line{Session: "other-id", Name: "other", Stream: Note, Text: "1 line of other was not shown: it was not read in time"}))
		l.put(Line{Session: "one-id", Name: "one", Text: "last"}, never)
		l.end()
		g.Expect(said[len(said)-1]).To(Equal(Line{Session: "one-id", Name: "one", Text: "last"}))
	})
}

// TestAnAgentThatGoesOn is told before its next line what was missed of it.
func TestAnAgentThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var said []string
		read := make(chan struct{})
		l := newLines(func(line Line) {
			<-read
			said = append(said, line.Text)
		}, false)
		for range queued + 3 {
			l.put(Line{Session: "one-id", Name: "one", Text: "x"}, never)
			synctest.Wait()
		}
		read <- struct{}{} // which makes room
		synctest.Wait()
		l.put(Line{Session: "one-id", Name: "one", Text: "next"}, never)
		close(read)
		l.end()
		g.Expect(said[len(said)-2:]).To(Equal([]string{"2 lines of one were not shown: they were not read in time", "next"}))
	})
}

// TestAFile gets every line, also after a pause, as long as the process lives.
func TestAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		said := 0
		again := make(chan struct{})
		l := newLines(func(Line) {
			<-again
			said++
		}, true)
		over := false
		put := make(chan struct{})
		go func() {
			for range 2 * queued {
				l.put(Line{}, func() bool { return over })
			}
			close(put)
		}()
		time.Sleep(time.Hour)
		close(again)
		<-put
		synctest.Wait()
		g.Expect(said).To(Equal(2 * queued))

		again = make(chan struct{})
		over = true
		for range 2 * queued { // an end waits for nobody
			l.put(Line{}, func() bool { return over })
		}
		close(again)
		l.end()
	})
}

// TestALineThatIsCut says by how much.
func TestALineThatIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var said []Line
		l := newLines(func(line Line) { said = append(said, line) }, false)
		o := newOutput(Line{Session: "s"}, l)
		o.stdout.write([]byte(strings.Repeat("a", lineMost-1)))
		o.stdout.write([]byte("bcdef"))
		o.stdout.write([]byte("g\nnext\n"))
		l.end()
		g.Expect(said).To(Equal([]Line{
			{Session: "s", Stream: Stdout, Text: strings.Repeat("a", lineMost-1) + "b", Cut: 5},
			{Session: "s", Stream: Stdout, Text: "next"},
		}))
	})
}
