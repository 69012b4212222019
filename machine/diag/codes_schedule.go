package diag

// scheduleEntries documents the codes of the schedule and expression watchers.
var scheduleEntries = []Entry{
	{
		Code: "SC251", Title: "schedule",
		Explanation: "A schedule has five cron fields (minute, hour, day of the month, month, day of the week) or is a descriptor such as @daily; at least one is needed.",
		Bad: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 * *']}
`,
		Good: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 * * *']}
`,
	},
	{
		Code: "SC252", Title: "schedule that never comes",
		Explanation: "No date within five years matches the schedule, such as the 30th of February.",
		Bad: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 30 2 *']}
`,
		Good: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 28 2 *']}
`,
	},
	{
		Code: "SC253", Title: "start_splay",
		Explanation: "A window starts late by at most half of its duration, so that something of it is left.",
		Bad: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 * * *'], duration: 10m, start_splay: 6m}
`,
		Good: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 * * *'], duration: 10m, start_splay: 5m}
`,
	},
	{
		Code: "SC254", Title: "time zone",
		Explanation: "A time zone is a name of the time zone database, such as Europe/Berlin or UTC.",
		Bad: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 * * *'], timezone: Berlin}
`,
		Good: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: schedule
    success_transition: done
    properties: {schedules: ['0 22 * * *'], timezone: Europe/Berlin}
`,
	},
	{
		Code: "SC260", Title: "schedule that means something else than it looks like",
		Explanation: "A step is counted within its field: */70 minutes are minute 0 of each hour, and */45 are minutes 0 and 45. @every 45m is each 45 minutes.",
		Bad: `format: 1
name: steps
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: often, type: schedule, success_transition: done, properties: {schedules: ['*/70 * * * *']}}
`,
		Good: `format: 1
name: steps
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: often, type: schedule, success_transition: done, properties: {schedules: ['@every 70m']}}
`,
	},
	{
		Code: "SC255", Title: "condition",
		Explanation: "The condition of an expression watcher does not compile, or is neither true nor false. It may read data, facts, identity and get_fact('path').",
		Bad: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: expression
    success_transition: done
    properties: {success_when: dta.dark}
`,
		Good: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: expression
    success_transition: done
    properties: {success_when: data.dark}
`,
	},
	{
		Code: "SC256", Title: "no condition",
		Explanation: "An expression watcher needs success_when, fail_when or both, else it can never report anything.",
		Bad: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: expression
    success_transition: done
    properties: {}
`,
		Good: `format: 1
name: night
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: nights
    type: expression
    success_transition: done
    properties: {success_when: data.dark}
`,
	},
}
