package broker

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if target := os.Getenv(crowdEnv); target != "" {
		os.Exit(crowdProcess(target))
	}
	goleak.VerifyTestMain(m)
}
