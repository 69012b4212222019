package manifests_test

import (
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/manifests"
)

// H68: TestH68WhoeverMayAskIsAnsweredInItsOwnInbox holds each watcher of the overlay that answers nodes, clients or those who join: the answer is
// published with the host's rights, so that it goes to the inbox of the key or node in the request's own subject and nowhere else.
func TestH68WhoeverMayAskIsAnsweredInItsOwnInbox(t *testing.T) {
	guarded := 0
	for _, path := range files(t) {
		if !strings.HasPrefix(path, "overlay/") {
			continue
		}
		src, err := manifests.Files.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		root, list := strict.Parse(path, src)
		if root == nil || root.Get("watchers") == nil {
			t.Fatalf("%s: %v", path, list)
		}
		for _, w := range root.Get("watchers").Items {
			text := func(key string) string {
				value, _ := w.Get("properties").Get(key).Any().(string)
				return value
			}
			if kind := w.Get("type").Any(); kind != "service" && kind != "depot" {
				continue
			}
			name, subject := w.Get("name").Any(), text("subject")
			if first, _, _ := strings.Cut(subject, "."); first != "client" && first != "node" && first != "enroll" {
				t.Errorf("%s: %v is asked by %s: say here who that is", path, name, subject)
			}
			if text("inbox") != `"_INBOX." + message.tokens[1] + "."` {
				t.Errorf("%s: %v answers wherever its asker says", path, name)
			}
			guarded++
		}
	}
	if guarded < 20 {
		t.Errorf("%d watchers that answer: the test sees nothing", guarded)
	}
}
