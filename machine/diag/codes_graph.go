package diag

// graphEntries documents the codes of what a machine can come to.
var graphEntries = []Entry{
	{
		Code: "SC407", Title: "state that cannot be reached",
		Explanation: "No sequence of events leads to the state. Often the name of a source is misspelled.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down, donw], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC408", Title: "trap",
		Explanation: "From this state neither a final nor a home state can be reached; the initial state is home " +
			"where no other is declared. Without a format, only a state with no way out and no active " +
			"watcher is reported, as a warning.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: down}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC409", Title: "silent state",
		Explanation: "No watcher, deadline or subscription is active in the state, so that nothing happens there " +
			"until an operator acts. Declare it home where that is meant. Without a format it is a note.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down, parked], destination: up}
  - {name: park, from: [down], destination: parked}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, fail_transition: park, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  parked: {after: {1h: mended}}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down, parked], destination: up}
  - {name: park, from: [down], destination: parked}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, fail_transition: park, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC419", Title: "cycle without a pause",
		Explanation: "Each of these states has a watcher that looks as soon as it is entered, and whose outcome leads to the next. The machine may turn as fast as its brake allows, with " +
			"a look and a record each time. An interval is a pause, also across visits, and so are a retry, a timer and a deadline. A max_rate says that it is meant.",
		Bad: `format: 1
name: keeper
version: 1.0.0
initial_state: deploying
states: {deploying: {after: {10m: gave_up}}, watching: {home: true}, broken: {final: failure}}
transitions:
  - {name: deployed, from: [deploying], destination: watching}
  - {name: gone, from: [watching], destination: deploying}
  - {name: gave_up, from: [deploying], destination: broken}
watchers:
  - {name: deploy, type: exec, state_match: [deploying], success_transition: deployed, properties: {command: ./deploy}}
  - {name: check, type: exec, state_match: [watching], fail_transition: gone, properties: {command: ./check}}
`,
		Good: `format: 1
name: keeper
version: 1.0.0
initial_state: deploying
states: {deploying: {after: {10m: gave_up}}, watching: {home: true}, broken: {final: failure}}
transitions:
  - {name: deployed, from: [deploying], destination: watching}
  - {name: gone, from: [watching], destination: deploying}
  - {name: gave_up, from: [deploying], destination: broken}
watchers:
  - {name: deploy, type: exec, state_match: [deploying], success_transition: deployed, properties: {command: ./deploy}}
  - {name: check, type: exec, state_match: [watching], interval: 30s, fail_transition: gone, properties: {command: ./check}}
`,
	},
	{
		Code: "SC411", Title: "cycle that takes no time",
		Explanation: "The states of a cycle follow each other as fast as the host can go, because each is left at " +
			"once whatever its watcher finds.",
		Bad: `format: 1
name: swing
version: 1.0.0
initial_state: left
transitions:
  - {name: cross, from: [left], destination: right}
  - {name: return, from: [right], destination: left}
watchers:
  - name: cross
    type: expression
    state_match: [left]
    success_transition: cross
    fail_transition: cross
    properties: {success_when: data.load > 5, fail_when: data.load <= 5}
  - name: return
    type: expression
    state_match: [right]
    success_transition: return
    fail_transition: return
    properties: {success_when: data.load > 5, fail_when: data.load <= 5}
`,
		Good: `format: 1
name: swing
version: 1.0.0
initial_state: left
transitions:
  - {name: cross, from: [left], destination: right}
  - {name: return, from: [right], destination: left}
watchers:
  - name: cross
    type: expression
    state_match: [left]
    success_transition: cross
    properties: {success_when: data.load > 5}
  - name: return
    type: expression
    state_match: [right]
    success_transition: return
    fail_transition: return
    properties: {success_when: data.load > 5, fail_when: data.load <= 5}
`,
	},
}
