package authn

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(time.Minute) // on a machine with other work
	os.Exit(m.Run())
}
