// Command slowhelper decides where a node of the bench belongs: in the cell that asks, always. It takes as long as SLOWHELPER_TAKES
// says, such as 1s, and no longer than it needs where that is not set. It is built by the bench.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := decide(); err != nil {
		fmt.Fprintln(os.Stderr, "slowhelper:", err)
		os.Exit(1)
	}
}

func decide() error {
	began := time.Now()
	takes, err := patience()
	if err != nil {
		return err
	}
	var node struct {
		Identity string `json:"identity"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&node); err != nil {
		return fmt.Errorf("reading the node: %w", err)
	}
	if node.Identity == "" {
		return errors.New("the node has no identity")
	}
	<-time.After(takes - time.Since(began))
	_, err = fmt.Println(`{"configuration":{}}`)
	return err
}

// patience is how long a decision takes.
func patience() (time.Duration, error) {
	text := os.Getenv("SLOWHELPER_TAKES")
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}
