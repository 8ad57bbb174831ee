# lme4 fits at their exact optima, for the tests of the fitting helpers.
# Run from the repository root: Rscript tests/reference/make_lme4_fits.R
source("tests/reference/lme4_optimum.R")
source("tests/reference/write_json.R")
source("tests/reference/simulate.R")

# ---- what is kept of a fit -----------------------------------------------------------------

plain <- function(name) gsub("(Intercept)", "Intercept", name, fixed = TRUE)
group_name <- function(name) sub("\\.[0-9]+$", "", name)

variances <- function(fit) {
  rows <- as.data.frame(VarCorr(fit))
  rows <- rows[is.na(rows$var2), ]
  list(group = I(group_name(rows$grp)), effect = I(plain(rows$var1)),
       variance = I(rows$vcov), sd = I(rows$sdcor))
}

correlations <- function(fit) {
  rows <- as.data.frame(VarCorr(fit))
  rows <- rows[!is.na(rows$var2), ]
  list(group = I(group_name(rows$grp)), effect_1 = I(plain(rows$var1)),
       effect_2 = I(plain(rows$var2)), value = I(rows$sdcor))
}

fixed <- function(fit) {
  estimate <- fixef(fit)
  se <- sqrt(diag(as.matrix(vcov(fit))))
  list(term = I(plain(names(estimate))), estimate = I(unname(estimate)), se = I(unname(se)),
       t = I(unname(estimate / se)))
}

# as.data.frame() of ranef() cannot do two terms of one factor, so the sds are read off here.
conditional_sds <- function(values) {
  post <- attr(values, "postVar")
  if (!is.list(post)) post <- list(post)
  columns <- lapply(post, function(a) t(apply(a, 3, function(v) sqrt(diag(as.matrix(v))))))
  columns <- Map(function(column, a) matrix(column, nrow = dim(a)[3]), columns, post)
  do.call(cbind, columns)
}

random_effects <- function(fit, n_levels) {
  modes <- ranef(fit, condVar = TRUE)
  frames <- lapply(names(modes), function(group) {
    values <- modes[[group]]
    keep <- seq_len(min(n_levels, nrow(values)))
    level <- rownames(values)[keep]
    data.frame(group = group, effect = rep(plain(names(values)), each = length(keep)),
               level = level, value = unlist(values[keep, ], use.names = FALSE),
               se = as.vector(conditional_sds(values)[keep, ]))
  })
  do.call(rbind, frames)
}

some_rows <- function(fit) {
  row <- unique(pmin(c(1:3, nobs(fit) %/% 2, nobs(fit)), nobs(fit)))
  list(row = I(row), fitted = I(unname(fitted(fit))[row]),
       fixed_only = I(unname(predict(fit, re.form = NA))[row]))
}

describe <- function(fit, n_levels) {
  list(criterion = as.numeric(-2 * logLik(fit)), n_obs = nobs(fit),
       n_groups = as.list(ngrps(fit)), singular = isSingular(fit, tol = 1e-4),
       sigma = sigma(fit), fixed = fixed(fit), variance_components = variances(fit),
       correlations = correlations(fit),
       scaled_residuals = unname(quantile(residuals(fit, scaled = TRUE))),
       rows = some_rows(fit), random_effects = random_effects(fit, n_levels))
}

# ---- the data ------------------------------------------------------------------------------

get_data <- function(recipe) {
  if (!is.null(recipe$create_data))
    return(do.call(create_data, recipe$create_data))
  if (!is.null(recipe$treatment_clusters))
    return(do.call(treatment_clusters, recipe$treatment_clusters))
  data <- read.csv(recipe$csv)
  for (column in names(recipe$levels))
    data[[column]] <- factor(data[[column]], levels = recipe$levels[[column]])
  data
}

entry <- function(formula, recipe, REML = TRUE, n_levels = 5) {
  data <- get_data(recipe)
  fit <- fit_exactly(as.formula(formula), data, REML)
  usual <- suppressMessages(suppressWarnings(lmer(as.formula(formula), data, REML = REML)))
  kept <- describe(fit, n_levels)
  excess <- as.numeric(-2 * logLik(usual)) - kept$criterion
  cat(sprintf("%-50s %12.6f %s  lme4's own optimiser: %+.1e\n", formula, kept$criterion,
              if (kept$singular) "singular" else "        ", excess))
  c(list(formula = formula, reml = REML, data = recipe), kept,
    list(default_optimiser_excess = excess))
}

simulated <- function(..., formula = correlated, REML = TRUE, n_levels = 5)
  entry(formula, list(create_data = list(...)), REML, n_levels)

correlated <- "y ~ x + (x | cluster)"
uncorrelated <- "y ~ x + (1 | cluster) + (0 + x | cluster)"
all_levels <- 1000

# Pastes comes with lme4; the tests need it as a file.
write.csv(Pastes[c("strength", "batch", "cask")], "tests/reference/pastes.csv",
          row.names = FALSE, quote = FALSE)
sleep <- list(csv = "data/sleepstudy.csv")
pastes <- list(csv = "tests/reference/pastes.csv")
gpa <- list(csv = "data/gpa.csv")
pupils <- list(csv = "data/pupils.csv", levels = list(ses = c("low", "mid", "high")))
puzzle <- list(treatment_clusters = list(sizes = puzzle_sizes, seed = 824523))
huge <- list(treatment_clusters = list(sizes = huge_sizes, seed = 1324523))
low_icc <- list(treatment_clusters =
                  list(sizes = puzzle_sizes, seed = 1324523, sd_cluster = 1, effect = 1))

# ---- the fits ------------------------------------------------------------------------------

fits <- c(
  lapply(scenarios, function(arguments) do.call(simulated, c(arguments, n_levels = 100))),
  list(
    "seed 1" = simulated(seed = 1),
    "seed 42, correlated" = simulated(seed = 42, cor = .1),
    "seed 2024, negative correlation" = simulated(seed = 2024, cor = -.06),
    "8 clusters" = simulated(n_cluster = 8, seed = 5),
    "30 clusters of 4" = simulated(n_cluster = 30, obs_per_cluster = 4, seed = 2024),
    "30 clusters of 25" = simulated(n_cluster = 30, obs_per_cluster = 25, seed = 42),
    "8 clusters of 25" = simulated(n_cluster = 8, obs_per_cluster = 25, seed = 1),
    "large scale" = simulated(intercept = 1000, beta = 50, sigma = 100, sd_int = 50,
                              sd_slope = 25, n_cluster = 30, seed = 1),
    "boundary: correlation 1" =
      simulated(sd_slope = 0, n_cluster = 10, obs_per_cluster = 5, seed = 6, n_levels = 10),
    "boundary: correlation -1" =
      simulated(n_cluster = 8, obs_per_cluster = 4, seed = 4, n_levels = 10),
    "boundary: correlation -1, slope sd .03" =
      simulated(n_cluster = 8, obs_per_cluster = 4, seed = 1),
    # Here the default optimiser of lme4 1.1 stops at an intercept variance of 0, .5 too high. With
    # a correlation in the model, one variance alone is never 0 at the optimum: from there a
    # covariance of the right sign always lowers the criterion.
    "boundary: correlation -1, false optimum at intercept sd 0" =
      simulated(n_cluster = 8, obs_per_cluster = 4, seed = 2, n_levels = 10),
    "boundary: correlation -1, intercept sd .007" =
      simulated(sd_int = 0, n_cluster = 10, obs_per_cluster = 4, seed = 8, n_levels = 10),
    "boundary: correlation -1, intercept sd .009" =
      simulated(sd_int = 0, n_cluster = 10, obs_per_cluster = 4, seed = 3),
    "boundary: correlation 1, noisy, 6 clusters" =
      simulated(sigma = 2, n_cluster = 6, obs_per_cluster = 4, seed = 5),
    "boundary: both variances 0" =
      simulated(sd_int = 0, n_cluster = 10, obs_per_cluster = 4, seed = 4, n_levels = 10),
    "boundary: intercept only, variance 0" =
      simulated(formula = "y ~ x + (1 | cluster)", sd_int = 0, sd_slope = 0, n_cluster = 10,
                obs_per_cluster = 5, seed = 5, n_levels = 10),
    "boundary: uncorrelated, slope variance 0" =
      simulated(formula = uncorrelated, sd_slope = 0, n_cluster = 10, obs_per_cluster = 5,
                seed = 4, n_levels = 10),
    "boundary: uncorrelated, intercept variance 0" =
      simulated(formula = uncorrelated, sd_slope = 0, n_cluster = 10, obs_per_cluster = 5,
                seed = 14, n_levels = 10),
    "near the boundary: correlation .95" =
      simulated(n_cluster = 8, obs_per_cluster = 4, seed = 6),
    "baseline, uncorrelated" = simulated(formula = uncorrelated),
    "baseline, intercept only" = simulated(formula = "y ~ x + (1 | cluster)"),
    "baseline, slope only" = simulated(formula = "y ~ x + (0 + x | cluster)"),
    "baseline, ML" = simulated(REML = FALSE),
    "baseline, intercept only, ML" =
      simulated(formula = "y ~ x + (1 | cluster)", REML = FALSE),
    "sleepstudy" = entry("Reaction ~ Days + (Days | Subject)", sleep, n_levels = all_levels),
    "sleepstudy, ML" = entry("Reaction ~ Days + (Days | Subject)", sleep, REML = FALSE),
    "sleepstudy, uncorrelated" =
      entry("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep,
            n_levels = all_levels),
    "sleepstudy, uncorrelated, ML" =
      entry("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep, REML = FALSE),
    "pastes" = entry("strength ~ 1 + (1 | batch) + (1 | batch:cask)", pastes,
                     n_levels = all_levels),
    "pastes, ML" = entry("strength ~ 1 + (1 | batch) + (1 | batch:cask)", pastes, REML = FALSE),
    "pupils model 1" = entry("achievement ~ ses + (1 + ses | primary_school_id)", pupils,
                             n_levels = all_levels),
    "pupils model 2" = entry("achievement ~ ses + (0 + ses | primary_school_id)", pupils,
                             n_levels = all_levels),
    "pupils model 3" =
      entry("achievement ~ ses + (1 | primary_school_id) + (1 | primary_school_id:ses)", pupils,
            n_levels = all_levels),
    "gpa, intercept only" = entry("gpa ~ occasion + (1 | student)", gpa),
    "gpa" = entry("gpa ~ occasion + (1 + occasion | student)", gpa),
    "gpa, uncorrelated" = entry("gpa ~ occasion + (1 | student) + (0 + occasion | student)", gpa),
    "puzzle" = entry("y ~ treatment + (1 | cluster)", puzzle, n_levels = 8),
    "puzzle, huge cluster" = entry("y ~ treatment + (1 | cluster)", huge, n_levels = 8),
    "puzzle, low ICC" = entry("y ~ treatment + (1 | cluster)", low_icc, n_levels = 8)
  )
)

write_json(list(made_with = R.version.string, lme4 = as.character(packageVersion("lme4")),
                fits = fits), "tests/reference/lme4_fits.json")
