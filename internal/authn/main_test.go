package authn

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// patience is how long a test waits for what has to come, on a machine with other work.
const patience = time.Minute

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(patience)
	os.Exit(m.Run())
}

// next is what comes next.
func next[T any](g *WithT, from <-chan T) (one T) {
	g.Eventually(from).Should(Receive(&one))
	return one
}
