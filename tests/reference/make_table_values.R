# Marginal means, contrasts, slopes, R^2 and models without random effects, for the tests of tables.
# Run from the repository root: Rscript tests/reference/make_table_values.R
suppressMessages({library(lme4); library(emmeans)})
source("tests/reference/write_json.R")

# 18 clusters of 5 to 11 rows; `arm` is constant in clusters, the rest varies within them.
set.seed(20261125)
size <- sample(5:11, 18, replace = TRUE)
cluster <- rep(seq_along(size), size)
n <- length(cluster)
data <- data.frame(
  cluster = cluster, arm = c("control", "drug", "placebo")[(cluster - 1) %% 3 + 1],
  sex = sample(c("f", "m"), n, replace = TRUE), smokes = rbinom(n, 1, 0.4),
  dose = round(runif(n, 1, 9), 2), period = sample(1:3, n, replace = TRUE))
data$y <- round(rnorm(18)[cluster] + (0.4 + rnorm(18, sd = 0.3)[cluster]) * data$dose +
                  (data$arm == "drug") * 1.5 + 0.5 * data$smokes + rnorm(n), 3)
data$old <- rep(rbinom(18, 1, 0.5) == 1, size)

exact <- lmerControl(optimizer = "nloptwrap",
                     optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5))
fit <- function(formula, REML = TRUE)
  lmer(as.formula(formula), data, REML = REML, control = exact)

means <- function(formula, predictor, ...) {
  table <- as.data.frame(emmeans(fit(formula), predictor, ...))
  list(formula = python(formula), predictor = predictor, level = I(table[[predictor]]),
       mean = I(table$emmean), se = I(table$SE), df = I(table$df),
       lower = I(table$lower.CL), upper = I(table$upper.CL))
}
python <- function(formula)
  gsub("log(", "np.log(", gsub("factor(", "C(", formula, fixed = TRUE), fixed = TRUE)

contrasts_of <- function(grid, adjust) {
  pairs <- pairs(grid)
  test <- summary(pairs, infer = c(TRUE, TRUE), adjust = adjust)
  list(contrast = I(as.character(test$contrast)), value = I(test$estimate), se = I(test$SE),
       df = I(test$df), t = I(test$t.ratio), p_value = I(test$p.value),
       lower = I(test$lower.CL), upper = I(test$upper.CL))
}

slopes_of <- function(formula, predictor) {
  grid <- emtrends(fit(formula), predictor, var = "dose", delta.var = 1e-4)
  table <- summary(grid, infer = c(TRUE, TRUE))
  list(formula = python(formula), predictor = predictor, level = I(table[[predictor]]),
       value = I(table$dose.trend), se = I(table$SE), df = I(table$df),
       p_value = I(table$p.value), lower = I(table$lower.CL), upper = I(table$upper.CL),
       contrasts = contrasts_of(grid, "tukey"))
}

# Nakagawa & Schielzeth (2013), equations 26 and 30, with Johnson's (2014) mean of z' Sigma z.
r_squared <- function(formula) {
  model <- fit(formula)
  fixed <- var(as.vector(model.matrix(model) %*% fixef(model)))
  random <- sum(sapply(names(VarCorr(model)), function(name) {
    sigma <- VarCorr(model)[[name]]
    z <- model.matrix(as.formula(paste("~", if (ncol(sigma) == 1) "1" else "dose")), data)
    mean(rowSums((z %*% sigma) * z))
  }))
  total <- fixed + random + sigma(model)^2
  list(formula = formula, marginal = fixed / total, conditional = (fixed + random) / total)
}

without <- function(formula, fixed, REML) {
  model <- fit(formula, REML)
  plain <- lm(as.formula(fixed), data)
  list(formula = formula, reml = REML, criterion = as.numeric(-2 * logLik(model)),
       without = as.numeric(-2 * logLik(plain, REML = REML)))
}

grid <- emmeans(fit("y ~ arm + dose + (1 | cluster)"), "arm")
write_json(list(
  made_with = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
                   emmeans = as.character(packageVersion("emmeans")),
                   pbkrtest = as.character(packageVersion("pbkrtest"))),
  data = lapply(data, I),
  means = list(
    "a factor of clusters" = means("y ~ arm + (1 | cluster)", "arm"),
    "two values of a number" = means("y ~ arm + smokes + (1 | cluster)", "arm"),
    "a number's two values" = means("y ~ arm + smokes + (1 | cluster)", "smokes"),
    "a boolean" = means("y ~ arm + old + (1 | cluster)", "old"),
    "numbers as categories, averaged" = means("y ~ arm + factor(period) + (1 | cluster)", "arm"),
    "numbers as categories" = means("y ~ arm + factor(period) + (1 | cluster)", "period"),
    "a logarithm" = means("y ~ arm + log(dose) + (1 | cluster)", "arm"),
    "slopes vary" = means("y ~ arm + dose + (dose | cluster)", "arm"),
    "an interaction" = means("y ~ arm * sex + (1 | cluster)", "arm"),
    "an interaction with a number" = means("y ~ sex * dose + (1 | cluster)", "sex"),
    "an interaction apart" = means("y ~ arm + smokes * dose + (1 | cluster)", "arm"),
    "given values" = means("y ~ arm * sex + dose + (1 | cluster)", "arm",
                           at = list(sex = "m", dose = 2))),
  contrasts = list(tukey = contrasts_of(grid, "tukey"), none = contrasts_of(grid, "none")),
  slopes = list("a line" = slopes_of("y ~ arm * dose + (dose | cluster)", "arm"),
                "a logarithm" = slopes_of("y ~ sex * log(dose) + (1 | cluster)", "sex")),
  r_squared = list("intercepts" = r_squared("y ~ arm + dose + (1 | cluster)"),
                   "slopes" = r_squared("y ~ arm + dose + (dose | cluster)"),
                   "nested" = r_squared("y ~ dose + (1 | cluster) + (1 | cluster:period)")),
  without = list("REML" = without("y ~ dose + (1 | cluster)", "y ~ dose", TRUE),
                 "ML" = without("y ~ dose + (1 | cluster)", "y ~ dose", FALSE),
                 "slopes" = without("y ~ dose + (dose | cluster)", "y ~ dose", TRUE))),
  "tests/reference/table_values.json")
