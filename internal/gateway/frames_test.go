package gateway

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// frameOf is a frame of a caller's, or of an agent's, which has no mask.
func frameOf(opcode byte, payload int, masked bool) []byte {
	frame := []byte{0x80 | opcode}
	switch {
	case payload < 126:
		frame = append(frame, byte(payload))
	case payload < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(payload))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(payload))
	}
	if masked {
		frame[1] |= 0x80
		frame = append(frame, "mask"...)
	}
	return append(frame, strings.Repeat("\x88", payload)...) // each byte of it could be a head
}

func TestFramesAreFoundHoweverTheyCome(t *testing.T) {
	lengths := []int{0, 1, 125, 126, 127, 1<<16 - 1, 1 << 16, 1<<16 + 1}
	for seed := range uint64(200) {
		g, random := NewWithT(t), rand.New(rand.NewPCG(seed, 0))
		var stream []byte
		var want, found []uint64
		for range random.IntN(20) {
			length := lengths[random.IntN(len(lengths))]
			want = append(want, uint64(length))
			stream = append(stream, frameOf(byte(random.IntN(16)), length, random.IntN(2) == 0)...)
		}
		var f frames
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(1+random.IntN(1<<15)))
			before, _, err := f.scan(rest[:n], func(_ byte, payload uint64) error {
				found = append(found, payload)
				return nil
			})
			g.Expect(before, err).To(Equal(n))
			rest = rest[n:]
			g.Expect(len(rest) > 0 || f.between()).To(BeTrue(), "all frames have come, by seed %d", seed)
		}
		g.Expect(found).To(Equal(want), "seed %d", seed)
	}
}

// bounded is a WebSocket in the agent's hands, and its caller's connection.
func bounded(t *testing.T) (socket *boundedConn, caller net.Conn) {
	t.Helper()
	caller, gateway := net.Pipe()
	t.Cleanup(func() { _, _ = caller.Close(), gateway.Close() })
	return &boundedConn{
		Conn: gateway, pace: rate.NewLimiter(contract.MaxFrameRate, contract.MaxFrameRate), broken: &atomic.Pointer[websocket.CloseError]{},
	}, caller
}

// closes is the code of the frame that closes a WebSocket, which is the next one, and its words.
func closes(g *WithT, caller net.Conn) (websocket.StatusCode, string) {
	head := make([]byte, 4)
	_, err := io.ReadFull(caller, head)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(head[0]).To(Equal(byte(0x88)))
	words := make([]byte, head[1]-2)
	_, err = io.ReadFull(caller, words)
	g.Expect(err).NotTo(HaveOccurred())
	return websocket.StatusCode(binary.BigEndian.Uint16(head[2:])), string(words)
}

// The caller of a WebSocket is told what bound he broke, also while he sends, and the agent
// gets what came before.
func TestAFrameThatIsTooLarge(t *testing.T) {
	for name, answers := range map[string]bool{"the caller closes it too": true, "he does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				socket, caller := bounded(t)
				fits, tooLarge := frameOf(2, contract.MaxFrameBytes, true), frameOf(2, contract.MaxFrameBytes+1, true)
				go func() {
					_, _ = caller.Write(append(fits, tooLarge...))
					if answers {
						_, _ = caller.Write(frameOf(opcodeClose, 2, true))
					}
				}()
				told := make(chan string, 1)
				go func() {
					code, words := closes(g, caller)
					g.Expect(code).To(Equal(websocket.StatusMessageTooBig))
					told <- words
				}()
				began := time.Now()
				heard, err := io.ReadAll(socket)
				g.Expect(err).To(HaveOccurred())
				g.Expect(bytes.HasPrefix(heard, fits)).To(BeTrue())
				g.Expect(len(heard)-len(fits)).To(BeNumerically("<", 10), "of the other one no payload has come")
				g.Expect(<-told).To(Equal("a frame has 65537 bytes, and 65536 are allowed"))
				if answers {
					g.Expect(time.Since(began)).To(BeZero())
				} else {
					g.Expect(time.Since(began)).To(Equal(closeHandshake))
				}
				n, err := socket.Write([]byte("late"))
				g.Expect(n, err).To(Equal(4), "nobody hears it")
			})
		})
	}
}

func TestFramesThatAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		socket, caller := bounded(t)
		heard := make(chan int, 1)
		go func() {
			all, _ := io.ReadAll(socket)
			heard <- len(all)
		}()
		small := frameOf(1, 1, true)
		aSecond := bytes.Repeat(small, contract.MaxFrameRate)
		for range 10 {
			_, err := caller.Write(aSecond)
			g.Expect(err).NotTo(HaveOccurred())
			time.Sleep(time.Second)
		}
		go func() { _, _ = caller.Write(append(aSecond, small...)) }()
		code, words := closes(g, caller)
		g.Expect(code).To(Equal(websocket.StatusPolicyViolation))
		g.Expect(words).To(Equal("more than 250 frames came in a second"))
		g.Expect(caller.Close()).To(Succeed())
		g.Expect(<-heard).To(Equal(11*len(aSecond)), "all but the one")
	})
}

// Nothing is put into a frame of the agent's.
func TestABoundThatIsBrokenAmidAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		socket, caller := bounded(t)
		half := frameOf(2, 100, false)[:50]
		go func() {
			_, _ = socket.Write(half)
			_, _ = io.ReadAll(socket)
			_ = socket.Close()
		}()
		got := make([]byte, len(half))
		_, err := io.ReadFull(caller, got)
		g.Expect(err).NotTo(HaveOccurred())
		go func() { _, _ = caller.Write(frameOf(2, contract.MaxFrameBytes+1, true)) }()
		rest, err := io.ReadAll(caller)
		g.Expect(rest, err).To(BeEmpty())
	})
}
