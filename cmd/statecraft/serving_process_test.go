package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHostsAndNodesSayOnceThatTheyServe: one line on standard error says which cell it is, where, and what runs, without any option.
func TestHostsAndNodesSayOnceThatTheyServe(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "cell"), clusterPorts(t)
	statecraft(t, "overlay", "init", dir, "--cell", "main", "--host", "o1=127.0.0.1", "--fleet-port", fmt.Sprint(port), "--enrollment-port", fmt.Sprint(port+1),
		"--cluster-port", fmt.Sprint(port+2))
	host := saying(t, "overlay", "run", dir)
	for _, want := range []string{
		"host o1 of the cell main serves nodes and clients at tls://", fmt.Sprintf(":%d, nodes that join at tls://", port), fmt.Sprintf(":%d", port+1), ", and runs the machines ", "provisioner, ",
	} {
		if !strings.Contains(host, want) {
			t.Errorf("the host says %q, and not %q", host, want)
		}
	}
	node := saying(t, "node", "run", "--join", filepath.Join(dir, "join.jwt"), "--identity", "n1.example", "--state", filepath.Join(t.TempDir(), "n1"))
	if want := "node n1.example joins a cell by its join token, and runs the machines "; !strings.Contains(node, want) || !strings.Contains(node, "enrollment") {
		t.Errorf("the node says %q, and not %q", node, want)
	}
}

// saying starts a program, which runs until the test ends, and returns the first line that it says on standard error beside its log.
func saying(t *testing.T, args ...string) string {
	t.Helper()
	p := exec.Command("statecraft", args...)
	errs, err := p.StderrPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		_ = p.Wait()
	})
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		if line, said := strings.CutPrefix(lines.Text(), "statecraft: "); said { // else the log's
			return line
		}
	}
	t.Fatalf("statecraft %s says nothing: %v", strings.Join(args, " "), lines.Err())
	return ""
}
