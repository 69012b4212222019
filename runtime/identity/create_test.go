package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestOneOfSeveralKeysIsSaved saves many keys under one name at once: one is there, whole, and the others are told so.
func TestOneOfSeveralKeysIsSaved(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "key")
		keys, errs := make([]*Key, 8), make([]error, 8)
		begin := make(chan struct{})
		var saving sync.WaitGroup
		for i := range keys {
			keys[i] = newKey(t)
			saving.Go(func() {
				<-begin
				errs[i] = keys[i].Save(path)
			})
		}
		close(begin)
		saving.Wait()
		there, err := LoadKey(path)
		must(t, err)
		saved := 0
		for i, err := range errs {
			switch {
			case err == nil:
				saved++
				if keys[i].Public() != there.Public() {
					t.Error("a key is said to be saved, and another is there")
				}
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		}
		if saved != 1 {
			t.Errorf("%d keys are said to be saved under one name", saved)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
			t.Errorf("left over are %v, %v", left, err)
		}
	}
}
