# Rows and sums of simulated data sets, for tests/test_simulate.py.
# Run from the repository root: Rscript tests/reference/make_simulated_data.R
source("tests/reference/write_json.R")
source("tests/reference/simulate.R")

# Sums weighted by position notice a wrong order of rows; sums of squares a wrong value.
fingerprint <- function(data) {
  n <- nrow(data)
  rows <- unique(pmin(c(1:3, n %/% 2, n), n))
  list(n = n, row = I(rows), y = I(data$y[rows]), x = I(data$x[rows]),
       cluster = I(data$cluster[rows]), sum_y2 = sum(data$y^2), sum_x2 = sum(data$x^2),
       weighted_y = sum(data$y * seq_len(n)) / n, weighted_x = sum(data$x * seq_len(n)) / n,
       weighted_cluster = sum(data$cluster * seq_len(n)))
}

describe <- function(arguments) {
  data <- do.call(create_data, arguments)
  truth <- attr(data, "truth")
  last <- nrow(truth)
  c(list(arguments = arguments), fingerprint(data),
    list(truth_first = truth[1, ], truth_last = truth[last, ], truth_sums = colSums(truth)))
}

others <- list(
  list(seed = 1, cor = .1), list(seed = 42, n_cluster = 8, obs_per_cluster = 4),
  list(seed = 2024, sigma = 0, balanced = .25), list(seed = -3, sd_int = 0, n_cluster = 30),
  list(seed = 7, sd_int = 0, sd_slope = 0, intercept = -2, beta = 3),
  list(seed = 5, n_cluster = 5, obs_per_cluster = 1, balanced = .5),
  list(seed = 5, n_cluster = 7, obs_per_cluster = 1, balanced = .5),
  list(seed = 11, n_cluster = 1), list(seed = 12, n_cluster = 700, obs_per_cluster = 100)
)

treatments <- list(
  list(sizes = puzzle_sizes, seed = 824523), list(sizes = huge_sizes, seed = 1324523),
  list(sizes = puzzle_sizes, seed = 1324523, sd_cluster = 1, effect = 1),
  list(sizes = c(100, 10, 10, 10), seed = 3, sigma = 2, sd_cluster = 0)
)
describe_treatment <- function(arguments) {
  data <- do.call(treatment_clusters, arguments)
  list(arguments = arguments, y = data$y[c(1:3, nrow(data))], sum_y2 = sum(data$y^2),
       cluster_means = as.numeric(tapply(data$y, data$cluster, mean)))
}

write_json(
  list(made_with = R.version.string, scenarios = lapply(scenarios, describe),
       others = lapply(others, describe), treatments = lapply(treatments, describe_treatment)),
  "tests/reference/simulated_data.json")
