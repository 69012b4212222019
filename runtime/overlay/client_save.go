package overlay

import (
	"fmt"
	"path/filepath"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// ClientFiles are the files of a client's folder: its context, which Save writes and OpenClient reads, and its key.
func ClientFiles(dir string) (context, key string) {
	return filepath.Join(dir, clientFile), filepath.Join(dir, clientKeyFile)
}

// Save writes the client's context into its folder, which exists. Only its owner may read the file. The key beside it stays as it is.
func (c *Client) Save(dir string) error {
	data, err := c.encode()
	if err != nil {
		return err
	}
	file, _ := ClientFiles(dir)
	if err := identity.WriteFile(file, data); err != nil {
		return fmt.Errorf("writing the client's context: %w", err)
	}
	return nil
}
