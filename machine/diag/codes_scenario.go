package diag

// scenarioMachine is the manifest that the examples of scenario files are about.
const scenarioMachine = `-- machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: up
data: {failures: {type: integer, default: 0}}
transitions:
  - {name: broke, from: [up], destination: down, set: {failures: data.failures + 1}}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: rest, type: timer, state_match: [down], fail_transition: mended, properties: {timer: 1m}}
-- machine_test.yaml --
`

// scenarioEntries documents the codes of scenario files.
var scenarioEntries = []Entry{
	{
		Code: "SC601", Title: "time of a scenario",
		Explanation: "Times are written as RFC 3339 has them, with an offset or Z.",
		Bad: scenarioMachine + `start: 2026-01-05 10:00
tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
		Good: scenarioMachine + `start: 2026-01-05T10:00:00Z
tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC602", Title: "step of a scenario",
		Explanation: "A step does or expects one thing: its one key says which.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - {advance: 1s, expect: {state: down}}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - advance: 1s
      - expect: {state: down}
`,
	},
	{
		Code: "SC603", Title: "state in a scenario",
		Explanation: "The machine has no state of this name.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: dwon}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC604", Title: "two tests of one name",
		Explanation: "Tests are told apart by their names.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
  - name: another failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC605", Title: "nothing expected",
		Explanation: "A test that expects nothing cannot fail.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC606", Title: "manifest of a scenario",
		Explanation: "The manifest cannot be read or has errors of its own, so that its tests cannot be run.",
		Bad: scenarioMachine + `machine: machin.yaml
tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
		Good: scenarioMachine + `machine: machine.yaml
tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC607", Title: "machine in a scenario",
		Explanation: "A step names a machine that does not run in the test, or two manifests are of one machine.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {machine: database, state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC608", Title: "watcher in a scenario",
		Explanation: "The machine has no watcher of this name.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: chekc, outcome: fail}
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC609", Title: "outcome of a watcher that runs by itself",
		Explanation: "Watchers that touch nothing but the time, data and facts run in a test as they do in a host, so that their outcome is not given.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: rest, outcome: fail}
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC610", Title: "outcome in a scenario",
		Explanation: "The type of the watcher reports no outcome of this name.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: failed}
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
	{
		Code: "SC611", Title: "payload in a scenario",
		Explanation: "The payload has a field that the outcome does not carry, or a value of another type.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail, payload: {exit_code: one}}
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - outcome: {watcher: check, outcome: fail, payload: {exit_code: 1}}
      - expect: {state: down}
`,
	},
	{
		Code: "SC612", Title: "event in a scenario",
		Explanation: "The machine has no transition of this name.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - fire: brok
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    steps:
      - fire: broke
      - expect: {state: down}
`,
	},
	{
		Code: "SC613", Title: "data of a scenario",
		Explanation: "A test sets a data key to a value of another type than the manifest declares.",
		Bad: scenarioMachine + `tests:
  - name: a failed check
    data: {failures: many}
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
		Good: scenarioMachine + `tests:
  - name: a failed check
    data: {failures: 3}
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
`,
	},
}
