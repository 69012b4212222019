package netswitch

import (
	"io"
	"net"
	"testing"
	"time"
)

// What is said while a host is cut off arrives when it is joined again, and not before. A host that is cut off from hosts alone hears nodes.
func TestTheSwitchHoldsBackWhatIsCut(t *testing.T) {
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() { // an echo
		for {
			conn, err := back.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	n := New(func(int) host { return "o2" })
	defer n.Close()
	say := map[bool]net.Conn{} // by whether the listener is that of the cluster
	for _, cluster := range []bool{false, true} {
		if err := n.Listen("o1", cluster, "127.0.0.1:0", back.Addr().String()); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", n.listeners[len(n.listeners)-1].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		say[cluster] = conn
	}
	heard := func(cluster bool, within time.Duration) bool {
		t.Helper()
		if err := say[cluster].SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		_, err := io.ReadFull(say[cluster], make([]byte, 1))
		return err == nil
	}
	const longEnough, aMoment = 30 * time.Second, 200 * time.Millisecond
	for _, test := range []struct {
		host           host
		cut            Reach
		nodes, cluster bool // whether they are heard
	}{
		{"o1", "", true, true}, {"o1", FromHosts, true, false}, {"o1", FromAll, false, false}, {"o2", FromHosts, true, false}, {"o3", FromAll, true, true},
	} {
		n.Set(test.host, test.cut)
		for cluster, open := range map[bool]bool{false: test.nodes, true: test.cluster} {
			if _, err := say[cluster].Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			if open && !heard(cluster, longEnough) || !open && heard(cluster, aMoment) {
				t.Errorf("%s is cut off from %q: whether what is said is heard (cluster %t) is not %t", test.host, test.cut, cluster, open)
			}
		}
		n.Set(test.host, "")
		for cluster, open := range map[bool]bool{false: test.nodes, true: test.cluster} {
			if !open && !heard(cluster, longEnough) {
				t.Errorf("%s is joined again and does not hear what was said (cluster %t)", test.host, cluster)
			}
		}
	}
}
