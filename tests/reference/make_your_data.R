# Four untidy files as readers bring them, and what lme4 and pbkrtest say of them when they are tidy.
# Run from the repository root: Rscript tests/reference/make_your_data.R
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest)})
source("tests/reference/write_json.R")
set.seed(20)

tight <- lmerControl(optimizer = "bobyqa", calc.derivs = FALSE, check.conv.singular = "ignore",
                     optCtrl = list(rhobeg = .05, rhoend = 1e-9, maxfun = 2e4))

entry <- function(formula, data) {
  fit <- lmerTest::lmer(formula, data, REML = TRUE, control = tight)
  table <- coef(summary(fit, ddf = "Kenward-Roger"))
  interval <- qt(.975, table[, 3]) * table[, 2]
  sds <- as.data.frame(VarCorr(fit))
  list(criterion = -2 * c(logLik(fit)), n_rows = nrow(data), n_clusters = nlevels(getME(fit, "flist")[[1]]),
       value = I(unname(table[, 1])), se = I(unname(table[, 2])), df = I(unname(table[, 3])),
       p_value = I(unname(table[, 5])), lower = I(unname(table[, 1] - interval)),
       upper = I(unname(table[, 1] + interval)), sd = I(sds$sdcor[is.na(sds$var2)]),
       correlation = I(sds$sdcor[!is.na(sds$var2)]), singular = isSingular(fit))
}

within <- function(x, g) x - ave(x, g)
scaled <- function(x) (x - mean(x)) / sd(x)
some <- function(n, share) sample(n, round(share * n))
path <- function(name) file.path("tests/fixtures", paste0("your-", name, ".csv"))

# ---- pupils in schools: semicolons, decimal commas, words, codes, spellings --------------------

n <- c(1, 2, 4, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 22, 25, 28, 30, 34)
school <- rep(seq_along(n), n)
pupils <- data.frame(school = school, hours = round(abs(rnorm(sum(n), 5, 2)), 1),
                     type = c("town", "country")[1 + (school %% 2)],
                     books = rpois(sum(n), 120) * 10)
level <- rnorm(length(n), sd = 4); slope <- rnorm(length(n), sd = .8)
pupils$points <- round(40 + level[school] + (1.5 + slope[school]) * pupils$hours +
                         3 * (pupils$type == "town") + rnorm(sum(n), sd = 4), 1)
pupils$books[some(sum(n), .04)] <- NA
tidy <- na.omit(pupils)
tidy$hours_within <- within(tidy$hours, tidy$school)
tidy$hours_between <- ave(tidy$hours, tidy$school) - mean(tidy$hours)
tidy$type <- factor(tidy$type)
tidy$books <- scaled(tidy$books)
expected <- list(pupils = entry(
  points ~ hours_within + hours_between + type + books + (hours_within | school), tidy))

spelled <- sprintf("Schule S\u00fcd %d", pupils$school)
odd <- some(sum(n), .3)
spelled[odd] <- ifelse(seq_along(odd) %% 2, tolower(spelled[odd]), paste0(spelled[odd], " "))
hours <- sub(".", ",", sprintf("%.1f", pupils$hours), fixed = TRUE)
books <- ifelse(is.na(pupils$books), ifelse(runif(sum(n)) < .5, "-99", "k.A."), pupils$books)
messy <- data.frame(spelled, hours, pupils$type, books,
                    sub(".", ",", sprintf("%.1f", pupils$points), fixed = TRUE))
names(messy) <- c("Name der Schule", "Stunden/Woche", "Lage", "B\u00fccher", "Punkte im Test")
messy <- messy[sample(nrow(messy)), ]
write.table(messy, path("pupils"), sep = ";", row.names = FALSE, quote = FALSE, fileEncoding = "UTF-8")

# ---- repeated measures side by side, with dates and dropout ------------------------------------

people <- 40
arm <- rep(c("drug", "placebo"), people / 2)
start <- as.Date("2023-03-01") + sample(60, people, replace = TRUE)
level <- rnorm(people, sd = 6); slope <- rnorm(people, sd = .9)
stays <- pmin(5, 2 + rgeom(people, .2))
visits <- do.call(rbind, lapply(seq_len(people), function(i) {
  day <- start[i] + cumsum(c(0, sample(25:60, 4, replace = TRUE)))
  months <- as.numeric(day - day[1]) / (365.2425 / 12)
  score <- 50 + level[i] + (slope[i] - 1 - (arm[i] == "drug")) * months + rnorm(5, sd = 3)
  data.frame(id = i, arm = arm[i], occasion = 1:5, day, months, score = round(score, 1))[seq_len(stays[i]), ]
}))
expected$visits <- entry(score ~ months + arm + (months | id), visits)
wide <- reshape(transform(visits[c("id", "arm", "occasion", "day", "score")], day = format(day, "%d/%m/%Y")),
                idvar = c("id", "arm"), timevar = "occasion", direction = "wide", sep = "_")
names(wide) <- sub("day_", "visited on ", names(wide))
write.csv(wide, path("visits"), row.names = FALSE, na = "", quote = FALSE)

# ---- subjects crossed with items ---------------------------------------------------------------

words <- expand.grid(subject = sprintf("S%02d", 1:16), item = sprintf("word %d", 1:12))
words$frequency <- rnorm(12)[words$item]
words$ms <- round(600 + rnorm(16, sd = 50)[words$subject] + rnorm(12, sd = 30)[words$item] -
                    20 * words$frequency + rnorm(nrow(words), sd = 40))
expected$words <- entry(ms ~ frequency + (1 | subject) + (1 | item), words)
write.csv(words, path("words"), row.names = FALSE, quote = FALSE)

# ---- twelve clinics ----------------------------------------------------------------------------

n <- c(4, 5, 6, 6, 7, 8, 8, 9, 10, 11, 12, 14)
clinic <- rep(LETTERS[1:12], n)
treated <- rep(rep(c("yes", "no"), 6), n)
pain <- round(6 - 1.8 * (treated == "yes") + rep(rnorm(12, sd = 1.2), n) + rnorm(sum(n), sd = 1.5), 2)
clinics <- data.frame(clinic, treated, pain)
expected$clinics <- entry(pain ~ treated + (1 | clinic), clinics)
clinics$passed <- as.integer(pain < 4)
clinics$falls <- rpois(sum(n), 1.3)
write.csv(clinics, path("clinics"), row.names = FALSE, quote = FALSE)

write_json(expected, "tests/reference/your_data.json")
