package main

import "github.com/statecraft-io/statecraft/watchers/all"

// catalogue is every watcher type that this program has.
func catalogue() *all.Catalogue { return all.New(all.Services{}) }
