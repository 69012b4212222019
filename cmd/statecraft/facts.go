package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/factgather"
)

// ownFacts is what a host knows of itself before anything is gathered.
func ownFacts() *watchers.Facts {
	facts, err := factsOf(map[string]any{})
	if err != nil {
		panic(fmt.Sprint("statecraft: the version is no fact: ", err))
	}
	return facts
}

// firstFactsIn is how long a host may take to look around before it starts; it usually takes some 10 ms.
const firstFactsIn = 2 * time.Second

// firstFacts is what a host finds out about itself before its machines start, so that whoever decides on a node that enrolls for the first time
// can go by what it is. Machines gather the same again later.
func firstFacts(inv *invocation) *watchers.Facts {
	ctx, cancel := context.WithTimeout(inv.ctx, firstFactsIn)
	defer cancel()
	found, err := factgather.Gather(ctx, time.Now())
	if err != nil {
		inv.log.Warn("facts_missing_at_start", "error", err)
	}
	found, _ = factgather.Cleaned(found)
	facts, err := factsOf(found)
	if err != nil {
		inv.log.Warn("facts_not_kept_at_start", "error", err)
		return ownFacts()
	}
	return facts
}

func factsOf(found map[string]any) (*watchers.Facts, error) {
	found["statecraft"] = map[string]any{"version": buildVersion().Version, "release": machine.Release}
	raw, err := json.Marshal(found)
	if err != nil {
		return nil, err
	}
	return watchers.NewFacts(raw)
}
