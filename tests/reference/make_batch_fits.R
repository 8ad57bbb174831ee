# lme4 fits of 520 simulated data sets over eight designs, at their exact optima, for the tests of
# fits made together. Run from the repository root: Rscript tests/reference/make_batch_fits.R
# The data sets themselves are not kept: tests/test_batch.py draws them again from R's generator.
source("tests/reference/lme4_optimum.R")
source("tests/reference/write_json.R")

n_datasets <- 65
# Every fourth data set has no cluster differences at all: its optimum is usually on the boundary.
factors <- c(1, .5, .2, 0)

designs <- list(
  "intercept and slope" = list(formula = "y ~ x + (x | g)", sizes = rep(6, 20), sds = c(.8, .5)),
  "treatment of whole clusters" =
    list(formula = "y ~ treatment + (1 | g)", sizes = rep(c(5, 20), each = 4), sds = 1),
  "unbalanced" =
    list(formula = "y ~ x + (x | g)", sizes = rep(c(1, 2, 3, 5, 8, 15), 4), sds = c(1, .4)),
  "uncorrelated, ML" =
    list(formula = "y ~ x + (1 | g) + (0 + x | g)", sizes = rep(c(3, 9), 8), sds = c(.7, .7),
         reml = FALSE),
  "three correlated effects" =
    list(formula = "y ~ x + x2 + (x + x2 | g)", sizes = rep(8, 15), sds = c(1, .6, .6)),
  "nested" = list(formula = "y ~ 1 + (1 | g) + (1 | g:h)", sizes = rep(6, 10), sds = c(.8, .6)),
  "categories" =
    list(formula = "y ~ ses + (0 + ses | g)", sizes = rep(9, 12), sds = c(1, 1, 1)),
  "intercept, ML" =
    list(formula = "y ~ x + (1 | g)", sizes = rep(4, 12), sds = .5, reml = FALSE)
)

make_design <- function(sizes, seed) {
  set.seed(seed)
  n <- sum(sizes)
  within <- sequence(sizes) - 1
  g <- rep(seq_along(sizes), sizes)
  data.frame(x = rnorm(n), x2 = rnorm(n), g = factor(g), h = factor(within %% 3 + 1),
             ses = factor(c("low", "mid", "high")[within %% 3 + 1], c("low", "mid", "high")),
             treatment = factor(ifelse(g > length(sizes) / 2, "intervention", "control")))
}

# One column per random effect, those of a nested term numbered over all clusters.
random_columns <- function(formula, data) {
  one <- rep(1, nrow(data))
  switch(formula,
         "y ~ x + (x | g)" = , "y ~ x + (1 | g) + (0 + x | g)" = cbind(one, data$x),
         "y ~ x + x2 + (x + x2 | g)" = cbind(one, data$x, data$x2),
         "y ~ ses + (0 + ses | g)" = model.matrix(~ 0 + ses, data),
         cbind(one))
}

simulate_response <- function(design, data, k, seed) {
  set.seed(seed + k)
  sds <- factors[(k - 1) %% 4 + 1] * design$sds
  columns <- random_columns(design$formula, data)
  effects <- matrix(rnorm(nlevels(data$g) * ncol(columns)), ncol = ncol(columns))
  y <- 1 + .5 * data$x + rowSums(columns * effects[data$g, , drop = FALSE] %*%
                                   diag(sds[seq_len(ncol(columns))], ncol(columns)))
  if (grepl("g:h", design$formula)) {
    cell <- (as.integer(data$g) - 1) * nlevels(data$h) + as.integer(data$h)
    y <- y + sds[2] * rnorm(max(cell))[cell]
  }
  y + rnorm(nrow(data))
}

describe <- function(fit) {
  rows <- as.data.frame(VarCorr(fit))
  list(criterion = as.numeric(-2 * logLik(fit)), sigma = sigma(fit),
       sds = I(rows$sdcor[is.na(rows$var2) & rows$grp != "Residual"]),
       fixed = I(unname(fixef(fit))), se = I(unname(sqrt(diag(as.matrix(vcov(fit)))))))
}

fit_design <- function(name) {
  design <- designs[[name]]
  reml <- !identical(design$reml, FALSE)
  seed <- 1000 * match(name, names(designs))
  data <- make_design(design$sizes, seed)
  fits <- lapply(seq_len(n_datasets), function(k) {
    data$y <- simulate_response(design, data, k, seed)
    describe(suppressWarnings(suppressMessages(
      fit_exactly(as.formula(design$formula), data, reml))))
  })
  cat(name, "\n")
  list(formula = design$formula, reml = reml, sizes = I(design$sizes), sds = I(design$sds),
       seed = seed, fits = fits)
}

write_json(list(made_with = R.version.string, lme4 = as.character(packageVersion("lme4")),
                factors = factors,
                designs = setNames(lapply(names(designs), fit_design), names(designs))),
           "tests/reference/batch_fits.json")
