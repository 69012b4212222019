package broker

const crowdEnv = "STATECRAFT_TEST_CROWD"

func crowdProcess(string) int { return 0 }
