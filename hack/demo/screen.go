package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// screen is where the demo shows itself: a terminal that is drawn in place, or
// a stream of lines.
type screen struct {
	out           io.Writer
	live          bool // a terminal
	colour        bool
	width, height int
	drawn         int // lines of the last drawing, above the cursor
}

func newScreen(ctx context.Context, file *os.File) *screen {
	s := &screen{out: file, width: 80, height: 24}
	if os.Getenv("TERM") != "dumb" && s.measure(ctx, file) {
		s.live = true
		s.colour = os.Getenv("NO_COLOR") == ""
	}
	return s
}

// measure asks for the terminal's size; false if it is no terminal.
func (s *screen) measure(ctx context.Context, file *os.File) bool {
	stty := exec.CommandContext(ctx, "stty", "size")
	stty.Stdin = file
	size, err := stty.Output()
	if err != nil {
		return false
	}
	var width, height int
	if _, err := fmt.Sscan(string(size), &height, &width); err != nil {
		return false
	}
	if width > 0 && height > 0 {
		s.width, s.height = width, height
	}
	return true
}

// resize forgets what was drawn: a terminal that changed its width has broken
// the lines anew.
func (s *screen) resize(ctx context.Context, file *os.File) {
	if s.live && s.measure(ctx, file) {
		_, _ = io.WriteString(s.out, "\x1b[2J\x1b[H")
		s.drawn = 0
	}
}

// begin prepares the terminal for drawing: no cursor, no broken lines.
func (s *screen) begin() {
	if s.live {
		_, _ = io.WriteString(s.out, "\n\x1b[?25l\x1b[?7l")
	}
}

// end gives the terminal back as it was.
func (s *screen) end() {
	if s.live {
		_, _ = io.WriteString(s.out, "\x1b[?7h\x1b[?25h")
		s.drawn = 0
	}
	s.print(nil)
}

// draw shows lines in the place of those that were drawn last.
func (s *screen) draw(lines []line) {
	var b bytes.Buffer
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	b.WriteByte('\r')
	for _, l := range lines {
		b.WriteString("\x1b[K" + l.render(s.colour) + "\n") // cleared first: in the last column it would take a letter
	}
	b.WriteString("\x1b[J")
	_, _ = s.out.Write(b.Bytes())
	s.drawn = len(lines)
}

// print adds lines that stay.
func (s *screen) print(lines ...line) {
	for _, l := range lines {
		_, _ = fmt.Fprintln(s.out, l.render(s.colour))
	}
}
