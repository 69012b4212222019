package delivery

import "github.com/statecraft-io/statecraft/watchers"

func machinesType(Services) watchers.Type { panic("contract only") }
