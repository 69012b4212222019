package main

// fleetVerbs show the nodes of a cell and tell them what to do.
type fleetVerbs struct {
	Ls          fleetLsVerb          `cmd:"" help:"List the nodes of a cell."`
	Show        fleetShowVerb        `cmd:"" help:"Show what the cell's register has of a node."`
	Inventory   fleetInventoryVerb   `cmd:"" help:"Show what nodes are: their facts and machines, from their last inventories."`
	Machines    fleetMachinesVerb    `cmd:"" help:"Show how many nodes run which version of a machine, and in which state."`
	Hosts       fleetHostsVerb       `cmd:"" help:"Show how the hosts of a cell are: health, leaders, lag, disk."`
	Watch       fleetWatchVerb       `cmd:"" help:"Print the events of nodes and machines as they come."`
	Reprovision fleetReprovisionVerb `cmd:"" help:"Tell nodes to enroll again."`
	Approve     fleetApproveVerb     `cmd:"" help:"Let a key take over the identity of a node, or take that back."`
	Retire      fleetRetireVerb      `cmd:"" help:"Mark a node as retired, so that its token is not renewed."`
}
