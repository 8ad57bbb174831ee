# Profile intervals by lme4, and tests of fixed effects by lmerTest, for the tests of intervals.
# With three correlated effects lme4's profile goes astray (a limit of a correlation of 3.5), so
# there the limits are searched for in lme4's deviance itself, one parameter held at a time.
# Run from the repository root: Rscript tests/reference/make_intervals.R
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest)})
source("tests/reference/write_json.R")
source("tests/reference/simulate.R")

plain <- function(name) gsub("(Intercept)", "Intercept", name, fixed = TRUE)

sleep <- read.csv("data/sleepstudy.csv")
gpa <- read.csv("data/gpa.csv")
pupils <- read.csv("data/pupils.csv")
pupils$ses <- factor(pupils$ses, levels = c("low", "mid", "high"))

# The course's exercise: 50 groups of three, R's seed 1234.
exercise <- function() {
  set.seed(1234)
  group <- rep(1:50, each = 3)
  intercept <- 2 + rnorm(50, sd = .75)
  slope <- .5 + rnorm(50, sd = .25)
  residual <- rnorm(150, sd = .25)
  x <- rnorm(150)
  data.frame(y = intercept[group] + slope[group] * x + residual, x, group)
}

tight <- lmerControl(optimizer = "bobyqa", calc.derivs = FALSE,
                     check.conv.singular = "ignore",
                     optCtrl = list(rhobeg = .05, rhoend = 1e-9, maxfun = 2e4))

# Limits from a profile with twice as many points as lme4 takes, and as confint() gives them: it
# interpolates, which costs up to .3 % of an interval's width.
entry <- function(formula, data) {
  fit <- lme4::lmer(as.formula(formula), data, REML = FALSE, control = tight)
  seconds <- system.time({
    usual <- suppressWarnings(suppressMessages(confint(fit, quiet = TRUE, oldNames = FALSE)))
  })[["elapsed"]]
  finer <- suppressWarnings(suppressMessages(
    confint(profile(fit, signames = FALSE, delta = sqrt(qchisq(.99, 1)) / 16))))
  cat(sprintf("%-70s %6.1f s\n", formula, seconds))
  list(formula = formula, parameter = I(plain(rownames(usual))), lower = I(unname(finer[, 1])),
       upper = I(unname(finer[, 2])), default_lower = I(unname(usual[, 1])),
       default_upper = I(unname(usual[, 2])), seconds = seconds)
}

# Standard errors, degrees of freedom and p-values of the fixed effects, REML.
corrected <- function(formula, data) {
  fit <- lmerTest::lmer(as.formula(formula), data, REML = TRUE, control = tight)
  table <- coef(summary(fit, ddf = "Kenward-Roger"))
  list(formula = formula, term = I(plain(rownames(table))), estimate = I(unname(table[, 1])),
       se = I(unname(table[, 2])), df = I(unname(table[, 3])), p_value = I(unname(table[, 5])))
}

# ---- limits searched for in lme4's deviance ------------------------------------------------------

# Covariance matrix from a lower triangle whose first rows belong to the effects `first`. An sd of
# the first is held at `value`, or the correlation of the first two.
held_covariance <- function(free, q, first, value) {
  order <- c(first, setdiff(seq_len(q), first))
  triangle <- matrix(0, q, q)
  place <- which(lower.tri(triangle, diag = TRUE) & TRUE, arr.ind = TRUE)
  if (length(first) == 1) {
    triangle[place[-1, ]] <- free
    triangle[1, 1] <- value
  } else if (length(first) == 2) {
    rest <- place[place[, 1] > 2, , drop = FALSE]
    triangle[1, 1] <- exp(free[1])
    triangle[2, 1:2] <- exp(free[2]) * c(value, sqrt(1 - value^2))
    triangle[rest] <- free[-(1:2)]
  } else triangle[place] <- free
  covariance <- matrix(0, q, q)
  covariance[order, order] <- tcrossprod(triangle)
  covariance
}

deviance_at <- function(dd, covariance, sigma) {
  sds <- sqrt(diag(covariance))
  if (any(sds < 1e-10)) return(1e9)
  both <- covariance / outer(sds, sds) * (1 - 1e-10)
  diag(both) <- sds
  value <- tryCatch(dd(c(both[lower.tri(both, diag = TRUE)], sigma)), error = function(e) 1e9)
  if (is.finite(value)) value else 1e9
}

searched_limits <- function(formula, data) {
  fit <- lme4::lmer(as.formula(formula), data, REML = FALSE, control = tight)
  dd <- lme4:::devfun2(fit, useSc = TRUE, signames = FALSE)
  covariance <- as.matrix(VarCorr(fit)[[1]])
  q <- nrow(covariance)
  sds <- sqrt(diag(covariance))
  smallest <- as.numeric(-2 * logLik(fit))
  # Of one parameter: the best deviance at `value`, from a start and from a rounder one.
  held <- function(first, value) {
    order <- c(first, setdiff(seq_len(q), first))
    start <- function(matrix) {
      triangle <- t(chol(matrix[order, order] + 1e-6 * diag(q)))
      elements <- triangle[lower.tri(triangle, diag = TRUE)]
      place <- which(lower.tri(triangle, diag = TRUE) & TRUE, arr.ind = TRUE)
      if (length(first) == 1) elements[-1]
      else if (length(first) == 2)
        c(log(triangle[1, 1]), log(sqrt(sum(triangle[2, ]^2))), elements[place[, 1] > 2])
      else elements
    }
    search <- function(matrix) {
      criterion <- if (length(first)) {
        function(free) deviance_at(dd, held_covariance(free[-1], q, first, value), exp(free[1]))
      } else function(free) deviance_at(dd, held_covariance(free, q, first, 0), value)
      begin <- c(if (length(first)) log(sigma(fit)), start(matrix))
      once <- minqa::bobyqa(begin, criterion, control = list(rhobeg = .05, rhoend = 1e-8, maxfun = 5e3))
      minqa::bobyqa(once$par, criterion, control = list(rhobeg = .01, rhoend = 1e-9, maxfun = 5e3))$fval
    }
    min(search(covariance), search(diag(diag(covariance))))
  }
  limit <- function(first, estimate, edge) {
    excess <- function(value) held(first, value) - smallest - qchisq(.95, 1)
    if (excess(edge) < 0) return(round(edge, 6))
    uniroot(excess, sort(c(estimate, edge)), tol = 1e-6)$root
  }
  names <- plain(colnames(covariance))
  group <- names(VarCorr(fit))
  rows <- list()
  for (j in seq_len(q))
    rows[[sprintf("sd_%s|%s", names[j], group)]] <-
      c(limit(j, sds[j], 1e-6), limit(j, sds[j], 3 * sds[j]))
  for (j in seq_len(q)) for (k in seq_len(j - 1)) {
    r <- covariance[j, k] / sds[j] / sds[k]
    rows[[sprintf("cor_%s.%s|%s", names[j], names[k], group)]] <-
      c(limit(c(k, j), r, -1 + 1e-9), limit(c(k, j), r, 1 - 1e-9))
  }
  rows[["sigma"]] <- c(limit(NULL, sigma(fit), sigma(fit) / 2), limit(NULL, sigma(fit), 2 * sigma(fit)))
  list(formula = formula, parameter = I(names(rows)),
       lower = I(vapply(rows, `[`, 0, 1, USE.NAMES = FALSE)),
       upper = I(vapply(rows, `[`, 0, 2, USE.NAMES = FALSE)))
}

# ---- the models ------------------------------------------------------------------------------

puzzle <- treatment_clusters(puzzle_sizes, 824523)
tests <- list(
  "sleepstudy" = corrected("Reaction ~ Days + (Days | Subject)", sleep),
  "sleepstudy, uncorrelated" =
    corrected("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep),
  "puzzle" = corrected("y ~ treatment + (1 | cluster)", puzzle),
  "exercise 3" = corrected("y ~ x + (1 | group) + (0 + x | group)", exercise())
)
write_json(tests, "tests/reference/fixed_effect_tests.json")

limits <- list(
  "sleepstudy" = entry("Reaction ~ Days + (Days | Subject)", sleep),
  "sleepstudy, intercept only" = entry("Reaction ~ Days + (1 | Subject)", sleep),
  "sleepstudy, uncorrelated" =
    entry("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep),
  "exercise 3" = entry("y ~ x + (1 | group) + (0 + x | group)", exercise()),
  "gpa, intercept only" = entry("gpa ~ occasion + (1 | student)", gpa),
  "gpa" = entry("gpa ~ occasion + (1 + occasion | student)", gpa),
  "gpa, uncorrelated" = entry("gpa ~ occasion + (1 | student) + (0 + occasion | student)", gpa)
)
for (name in names(scenarios))
  limits[[paste("scenario:", name)]] <-
    entry("y ~ x + (x | cluster)", do.call(create_data, scenarios[[name]]))
limits[["pupils model 3"]] <-
  entry("achievement ~ ses + (1 | primary_school_id) + (1 | primary_school_id:ses)", pupils)
for (model in 1:2)
  limits[[paste("pupils model", model)]] <-
    searched_limits(sprintf("achievement ~ ses + (%d + ses | primary_school_id)", model %% 2), pupils)
write_json(limits, "tests/reference/profile_intervals.json")
