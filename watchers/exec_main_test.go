package watchers

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	goleak.VerifyTestMain(m)
}
