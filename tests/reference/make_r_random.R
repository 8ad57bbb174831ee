# Values of R's random number generators, for tests/test_r_random.py.
# Run from the repository root: Rscript tests/reference/make_r_random.R
library(mvtnorm)
source("tests/reference/write_json.R")
stopifnot(identical(RNGkind(), c("Mersenne-Twister", "Inversion", "Rejection")))

seeded <- function(seed, draw) { set.seed(seed); draw() }
sparse <- function(values, index) list(index = index, value = values[index])
across_blocks <- c(1:3, 311:314, 622:628, 1246:1251, 1871:1874, 1998:2000)
seeds <- c(888L, 1L, 0L, 42L, -5L, 824523L, 2147483647L, -2147483647L)

streams <- lapply(seeds, function(seed) list(
  seed = seed,
  uniform = sparse(seeded(seed, function() runif(2000)), across_blocks),
  normal = sparse(seeded(seed, function() rnorm(2000)), across_blocks),
  normal_sum = sum(seeded(seed, function() rnorm(2000))),
  normal_mean_sd = seeded(seed, function() rnorm(5, mean = -3, sd = 2.5))
))

sample_case <- function(seed, n, size, keep) {
  drawn <- seeded(seed, function() { s <- sample.int(n, size); list(s, runif(1)) })
  list(seed = seed, n = n, size = size, index = I(keep), value = I(drawn[[1]][keep]),
       weighted_sum = sum(as.numeric(drawn[[1]]) * seq_len(size)), next_uniform = drawn[[2]])
}
samples <- list(
  sample_case(888L, 1000, 1000, 1:1000),
  sample_case(1L, 1, 1, 1L),
  sample_case(3L, 2, 2, 1:2),
  sample_case(-7L, 10, 1, 1L),
  sample_case(42L, 65536, 300, c(1:20, 281:300)),
  sample_case(42L, 65537, 300, c(1:20, 281:300)),
  sample_case(888L, 70000, 70000, c(1:10, 34991:35000, 69991:70000)),
  sample_case(2024L, 1e6, 200, c(1:20, 181:200)),
  sample_case(9L, 1e7, 50, 1:50),
  sample_case(9L, 10000001, 50, 1:50),
  sample_case(9L, 2147483647, 50, 1:50)
)

covariances <- list(
  rbind(c(.25, .1), c(.1, .0625)),
  rbind(c(1, 1), c(1, 1)),
  rbind(c(0, 0), c(0, .5)),
  rbind(c(2, .3, -.4), c(.3, 1, .2), c(-.4, .2, .7))
)
multivariate <- lapply(covariances, function(cov)
  list(seed = 888L, n = 4L, cov = cov, value = seeded(888L, function() rmvnorm(4, sigma = cov))))

interleaved <- seeded(20L, function() list(
  uniform = runif(3), normal = rnorm(301), sample = sample.int(50, 20), none = rnorm(2, 1, 0),
  multivariate = rmvnorm(3, sigma = covariances[[1]]), large_sample = sample.int(70000, 5),
  last = runif(2)))

write_json(
  list(made_with = R.version.string, mvtnorm = as.character(packageVersion("mvtnorm")),
       streams = streams, samples = samples, multivariate = multivariate,
       interleaved = interleaved,
       quantiles = list(smallest = qnorm(2^-60), largest = qnorm(1 - 2^-53))),
  "tests/reference/r_random.json")
