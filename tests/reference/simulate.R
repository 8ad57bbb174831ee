# The sources' simulators in R: the referee for helpers/simulate.py.
suppressMessages(library(mvtnorm))

create_data <- function(obs_per_cluster = 10, n_cluster = 100, intercept = 1, beta = .5, sigma = 1,
                        sd_int = .5, sd_slope = .25, cor = 0, balanced = 1, seed = 888) {
  set.seed(seed)
  cluster <- rep(seq_len(n_cluster), each = obs_per_cluster)
  n <- length(cluster)
  x <- rnorm(n)
  covariance <- matrix(c(sd_int^2, cor, cor, sd_slope^2), 2)
  random <- rmvnorm(n_cluster, sigma = covariance)
  b <- random[cluster, , drop = FALSE]
  y <- (intercept + b[, 1]) + (beta + b[, 2]) * x + rnorm(n, sd = sigma)
  # dplyr::sample_frac(data, balanced): rounds half to even, shuffles even when all rows stay.
  data <- data.frame(y, x, cluster)[sample.int(n, round(n * balanced)), ]
  rownames(data) <- NULL
  attr(data, "truth") <- cbind(intercept + random[, 1], beta + random[, 2])
  data
}

treatment_clusters <- function(sizes, seed, sigma = 1, sd_cluster = 3, effect = 5) {
  set.seed(seed)
  residual <- rnorm(sum(sizes), sd = sigma)
  random <- rnorm(length(sizes), sd = sd_cluster)
  cluster <- rep(seq_along(sizes), sizes)
  treated <- cluster > length(sizes) / 2
  data.frame(y = effect * treated + random[cluster] + residual,
             treatment = factor(ifelse(treated, "intervention", "control"),
                                levels = c("control", "intervention")),
             cluster = cluster)
}

scenarios <- list(
  "baseline" = list(),
  "more cluster variance" = list(sd_int = 1, sd_slope = 1),
  "more slope variance" = list(sd_int = .25, sd_slope = 1),
  "3 observations per cluster" = list(obs_per_cluster = 3),
  "100 observations per cluster" = list(obs_per_cluster = 100),
  "unbalanced" = list(balanced = .5, sd_int = .5, sd_slope = .5, sigma = .25)
)
puzzle_sizes <- c(2, 10, 10, 10, 2, 10, 10, 10)
huge_sizes <- c(2, 10, 10, 10, 2, 10, 10, 100)
