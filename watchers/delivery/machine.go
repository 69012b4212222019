package delivery

import "github.com/statecraft-io/statecraft/watchers"

func machineType(Services) watchers.Type { panic("contract only") }
