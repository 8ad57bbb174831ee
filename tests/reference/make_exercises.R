# Answers of the exercises by lme4, on the data of the book, for the tests of exercises.
# Run from the repository root: Rscript tests/reference/make_exercises.R
suppressMessages(library(lme4))
source("tests/reference/write_json.R")
source("tests/reference/simulate.R")

tight <- lmerControl(optimizer = "bobyqa", check.conv.singular = "ignore",
                     optCtrl = list(rhoend = 1e-9, maxfun = 2e4))
fitted_by <- function(formula, data, ...) lmer(as.formula(formula), data, control = tight, ...)

# ---- exercises 1, question 4: the first draw whose variance between clusters is estimated as zero
seed <- 2025
repeat {
  data <- create_data(obs_per_cluster = 5, n_cluster = 12, sd_int = .2, sd_slope = 0, seed = seed)
  zero <- fitted_by("y ~ 1 + (1 | cluster)", data)
  if (getME(zero, "theta") == 0) break
  seed <- seed + 1
}
highest <- names(which.max(tapply(data$y, data$cluster, mean)))
limits <- suppressWarnings(suppressMessages(confint(profile(zero, signames = FALSE, delta = .05))))
zero_variance <- list(seed = seed, pooled_mean = coef(zero)$cluster[highest, 1],
                      largest_sd = limits[1, 2])

# ---- exercises 2: fifteen of the eighteen people
sleep <- read.csv("data/sleepstudy.csv")
set.seed(317)
people <- unique(sleep$Subject)[sort(sample(18, 15))]
drawn <- sleep[sleep$Subject %in% people, ]
formula <- "Reaction ~ Days + (Days | Subject)"
fit <- fitted_by(formula, drawn)
later <- fitted_by(formula, subset(drawn, Days >= 2))
slope <- function(data) unname(fixef(fitted_by(formula, data))[2])

# A new person's observation: uncertainty of the mean line, differences of people, residual.
x <- c(1, 9)
variance <- drop(x %*% as.matrix(vcov(fit)) %*% x + x %*% as.matrix(VarCorr(fit)$Subject) %*% x) +
  sigma(fit)^2
new <- sum(x * fixef(fit)) + c(-1, 1) * qnorm(.975) * sqrt(variance)

sleep_again <- list(restricted_slope = unname(fixef(later)[2]),
                    baseline = sum(c(1, 2) * fixef(later)), new_interval = new,
                    all_people = c(slope(sleep), slope(subset(sleep, Days >= 2))))

# ---- exercises 3: how far the intercept of the source's seed lies from 2
set.seed(1234)
intercept <- 2 + rnorm(50, sd = .75)
slopes <- .5 + rnorm(50, sd = .25)
residual <- rnorm(150, sd = .25)
x <- rnorm(150)
cluster <- rep(1:50, each = 3)
y <- intercept[cluster] + slopes[cluster] * x + residual
simulated <- fitted_by("y ~ x + (1 | cluster) + (0 + x | cluster)", data.frame(y, x, cluster))
simulation <- list(intercept = unname(fixef(simulated)[1]),
                   se = sqrt(vcov(simulated)[1, 1]), mean_drawn = mean(intercept))

write_json(list("e1-shrinkage" = zero_variance, "e2-sleep" = sleep_again,
                "e3-simulation" = simulation), "tests/reference/exercises.json")
